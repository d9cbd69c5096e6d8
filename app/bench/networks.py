"""Rows of the benchmark for networks: what a slice costs beside its convolutions, what bfloat16 gains, what it holds.

One thread, inference mode, CPU seconds, four virtual coils, as the pipeline runs a network: channels last, in bfloat16
where the CPU has units for it. The weights are the published ones where there are any.
"""

from __future__ import annotations

import copy
import statistics
import time
from functools import cache
from typing import TYPE_CHECKING, Any

from app.bench.measuring import GIGABYTE, Row, cpu_seconds, joined, plain_layout, precision

if TYPE_CHECKING:
    from recon.models.card import ModelCard
    from recon.pipeline import Prepared

_N_COILS = 4
_SIDE, _SMALL_SIDE = 320, 160
# So many operations that a run at full size in plain float32 takes the better part of a minute.
_HEAVY = ("pcrnn-b", "oucr", "vn", "kiunet", "oucr-oc", "oucr-oc-rm", "oucr-uc-oc")
QUICK_PRESETS = ("pcrnn-s", "d5c5", "unet-oucr")


@cache
def presets() -> tuple[str, ...]:
    """Return the names of the workstation's own networks, in reading order."""
    from recon.models import list_models

    return tuple(card.name for card in list_models() if card.needs_training and not card.source)


def measure_network(preset: str, *, quick: bool) -> list[Row]:
    """One slice: against the network's own convolutions, against plain float32, and the memory that it takes.

    The convolutions are clocked inside the very forward whose time they are compared with. Plain means fp32, NCHW and
    eager. Heavy networks are timed on a quarter of the pixels, and once; memory is always that of the full size.
    """
    import torch

    from recon.models import get_card

    card = get_card(preset)
    torch.set_num_threads(1)
    dtype, units = precision()
    plain, note = _network(card)
    fast: Any = copy.deepcopy(plain).to(dtype=dtype, memory_format=torch.channels_last)
    is_heavy = preset in _HEAVY
    side = _SMALL_SIDE if is_heavy or quick else _SIDE
    n_turns = 1 if is_heavy or quick or card.group == "Ablations" else 2
    rows = []
    with torch.inference_mode():
        if not quick:
            rows.append(_memory_row(card, fast, _scan(card, _SIDE)))
        data = _scan(card, side)
        _run(fast, data)  # warms up
        totals, shares, plains, plain_shares = [], [], [], []
        for _ in range(n_turns):
            # A slice in the precision that is used is quick; two of them steady the ratio.
            for _ in range(2):
                total, share = _clocked(fast, data)
                totals.append(total)
                shares.append(share)
            with plain_layout():
                total, share = _clocked(plain, data)
            plains.append(total)
            plain_shares.append(share)
        if card.family == "vn":
            shares = [_seconds_of_experts(fast, side)]
            plain_shares = []
    value, own, anchor = statistics.median(totals), statistics.median(shares), statistics.median(plains)
    title, form = f"{card.title}, {side}²", "bf16" if dtype == torch.bfloat16 else "fp32"
    kind = "the same filters as convolutions" if card.family == "vn" else "its convolutions"
    gain = f"its convolutions alone {statistics.median(plain_shares) / own:.1f} ×" if plain_shares else ""
    speed_is_met = anchor >= 3 * value if dtype == torch.bfloat16 else None
    return [
        Row(
            f"{title}: whole forward",
            value,
            "CPU s",
            f"{kind} {own:.3g} s",
            value / own,
            "≤ 1.3 × anchor",
            value <= 1.3 * own,
            joined(form, note),
        ),
        Row(
            f"{title}: {form} channels-last",
            value,
            "CPU s",
            f"fp32 NCHW eager {anchor:.3g} s",
            anchor / value,
            "≥ 3 × faster",
            speed_is_met,
            joined(units, gain),
        ),
        *rows,
    ]


def measure_precision(*, quick: bool) -> list[Row]:
    """What bfloat16 costs PC-RNN-S in quality, and what share of its slice data consistency has.

    The loss is the difference of both results' PSNR against the phantom's truth; "between" is PSNR of one against the
    other.
    """
    import torch

    from recon import metrics
    from recon.coils import root_sum_of_squares
    from recon.models import get_card
    from recon.operator import HardDataConsistency

    torch.set_num_threads(1)
    card = get_card("pcrnn-s")
    plain, note = _network(card)
    fast: Any = copy.deepcopy(plain).to(dtype=torch.bfloat16, memory_format=torch.channels_last)
    side = _SMALL_SIDE if quick else _SIDE
    data, full = _scan(card, side), _scan(card, side, acceleration=1)
    reference = root_sum_of_squares(full.zero_filled * full.scale, dim=1).numpy()
    with torch.inference_mode():
        with plain_layout():
            exact = root_sum_of_squares(_run(plain, data) * data.scale, dim=1).numpy()
        rounded = root_sum_of_squares(_run(fast, data) * data.scale, dim=1).numpy()
        value = statistics.median(cpu_seconds(lambda: _run(fast, data)) for _ in range(3))
        consistency = HardDataConsistency(data.kspace, data.mask)
        step_s = statistics.median(cpu_seconds(lambda: consistency(data.zero_filled)) for _ in range(9))
    loss = float(metrics.psnr(reference, exact)) - float(metrics.psnr(reference, rounded))
    between = float(metrics.psnr(exact, rounded))
    share = step_s * plain.n_stages / value
    title = f"{card.title}, {side}²"
    return [
        Row(
            f"{title}: PSNR loss of bf16",
            loss,
            "dB",
            goal="≤ 0.05 dB",
            met=loss <= 0.05,
            note=joined(f"between the two {between:.1f} dB", note),
        ),
        Row(f"{title}: data consistency", 100 * share, "% of the slice", goal="≤ 10 %", met=share <= 0.1),
    ]


def _memory_row(card: ModelCard, model: Any, data: Prepared) -> Row:
    """Measure how the resident memory grows at its most, in the first slice that this process reconstructs."""
    from recon.peak_memory import PeakMemory

    announced = model.peak_memory_bytes(tuple(data.zero_filled.shape)) / GIGABYTE
    title = f"{card.title}, {data.zero_filled.shape[-1]}²: peak memory"
    goal = "≤ 1.0 GB" if announced < 1 else "as announced"
    with PeakMemory("cpu") as before:
        pass
    with PeakMemory("cpu") as during:
        _run(model, data)
    if before.gigabytes is None or during.gigabytes is None:
        return Row(title, None, "GB", goal=goal, note="the peak of resident memory can be measured on Linux only")
    # Linux counts resident pages in batches: a network that finds all it needs freed may come out below nothing.
    growth = max(0.0, during.gigabytes - before.gigabytes) * 2**30 / GIGABYTE
    met = growth <= (1 if announced < 1 else 1.1 * announced)
    lighter = f"lighter: {model.lighter_setting}" if model.lighter_setting else ""
    note = joined(f"beside the program; {during.gigabytes * 2**30 / GIGABYTE:.2f} GB with it", lighter)
    return Row(title, growth, "GB", f"announced {announced:.2f} GB", growth / announced, goal, met, note)


def _network(card: ModelCard) -> tuple[Any, str]:
    """Return a network in fp32 and what must be said of its weights."""
    import torch

    from recon.models import create, load

    torch.manual_seed(0)
    if any(weights.n_coils == _N_COILS for weights in card.weights):
        return load(card.name, _N_COILS).float().eval().requires_grad_(False), ""
    return create(card.name, _N_COILS).eval().requires_grad_(False), "fresh weights: none are published"


def _scan(card: ModelCard, side: int, acceleration: int = 4) -> Prepared:
    import torch

    from recon import masks
    from recon.phantom import PhantomSpec, slice_kspace
    from recon.pipeline import prepare

    spec = PhantomSpec(n_slices=1, n_coils=8, matrix=(side, side), noise=0.02)
    sampling = masks.make(masks.MaskSpec("equispaced-fraction", 4, seed=0), spec.matrix)
    mask = torch.from_numpy(sampling.mask)
    mask = torch.ones_like(mask) if acceleration == 1 else mask
    kspace = torch.from_numpy(slice_kspace(spec, 0))
    return prepare(kspace, mask, _N_COILS, maps="walsh" if card.needs_maps else None, scale=card.scale)


def _run(model: Any, data: Prepared) -> Any:
    return model(data.zero_filled, data.kspace, data.mask, data.maps)


def _clocked(model: Any, data: Prepared) -> tuple[float, float]:
    """Run a slice; return its CPU seconds and those that it spent in convolutions."""
    import torch
    from torch.overrides import TorchFunctionMode

    convolutions = (torch.conv2d, torch.conv_transpose2d)
    inside = 0.0

    class Clock(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal inside
            if function not in convolutions:
                return function(*args, **(kwargs or {}))
            started = time.process_time()
            result = function(*args, **(kwargs or {}))
            inside += time.process_time() - started
            return result

    with Clock():
        total = cpu_seconds(lambda: _run(model, data))
    return total, inside


def _seconds_of_experts(model: Any, side: int) -> float:
    """Return what the filters of a variational network take as convolutions, there and back, without activations.

    Its own forward makes matrix products of them, a few rows at a time.
    """
    import torch
    import torch.nn.functional as F

    from recon.models.vn import mirror

    steps = list(model.steps)
    kernels = steps[0].kernels
    image = mirror(torch.randn(1, 2, side, side), kernels.shape[-1] - 1)
    image = image.to(dtype=kernels.dtype, memory_format=torch.channels_last)
    seconds = cpu_seconds(lambda: F.conv_transpose2d(F.conv2d(image, kernels), kernels))
    return seconds * len(steps)
