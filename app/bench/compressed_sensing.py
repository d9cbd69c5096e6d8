"""Rows of the benchmark for compressed sensing: `cs-tv` against ``bart pics`` with total variation.

Both sides minimise the same objective with the same sensitivity maps, one thread each, in turns, and are counted in CPU
seconds; the maps are made beforehand and count for neither. BART's time is that of its process with its files, which
are read and written in some hundredths of a second.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from app.bench.measuring import Row, cpu_seconds_of, missing_bart
from recon import programs

_N_COILS, _N_VIRTUAL, _MATRIX = 15, 8, (320, 320)
_LAMBDA = 0.05
_N_CALIBRATION = 26
_PICS = ["pics", "-d4", "-S", "-i", "200", "-R", f"T:7:0:{_LAMBDA}"]


def measure_compressed_sensing(*, quick: bool) -> list[Row]:
    """CS-TV of an equispaced 4x scan of 15 coils at 320², on all of them and on 8 virtual ones.

    The objective is that of BART, computed in double precision with all coils; NRMSE is against the phantom without
    noise, fully sampled, where the maps have support.
    """
    import torch

    from recon.coils import compress

    torch.set_num_threads(1)
    kspace, mask, truth = _scan()
    arrays = {_N_COILS: kspace, _N_VIRTUAL: compress(kspace, _N_VIRTUAL)[0]}
    has_bart = not missing_bart()
    ours: dict[int, list[float]] = {n: [] for n in arrays}
    barts: dict[int, list[float]] = {n: [] for n in arrays}
    images: dict[int, Any] = {}
    bart_images: dict[int, Any] = {}
    with tempfile.TemporaryDirectory(prefix="mri-workstation-bench-") as folder, torch.inference_mode():
        estimate = _bart_maps if has_bart else _own_maps
        maps = {n: estimate(folder, n, array) for n, array in arrays.items()}
        for _ in range(1 if quick else 3):
            for n in arrays:
                for _ in range(3):
                    started = time.process_time()
                    data = kspace if n == _N_COILS else compress(kspace, n)[0]
                    images[n] = _total_variation(data, mask, maps[n])
                    ours[n].append(time.process_time() - started)
                if has_bart:
                    barts[n].append(cpu_seconds_of([_bart(), *_PICS, f"kspace{n}", f"maps{n}", f"image{n}"], folder))
        if has_bart:
            bart_images = {n: _read(folder, f"image{n}")[0] for n in arrays}
    value, virtual_value = (statistics.median(ours[n]) for n in arrays)
    titles = [f"CS-TV, {_N_COILS} coils, 320²", f"CS-TV on {_N_VIRTUAL} virtual coils of {_N_COILS}"]
    goals = ["≥ 4 × BART's speed, objective ≤ BART's", "≥ 8 × BART's speed, NRMSE ≤ 1.01 × BART's"]
    if not has_bart:
        note = missing_bart()
        return [
            Row(titles[0], value, "CPU s", goal=goals[0], note=note),
            Row(titles[1], virtual_value, "CPU s", goal=goals[1], note=note),
        ]
    anchor, virtual_anchor = (statistics.median(barts[n]) for n in arrays)
    objective, bart_objective = (
        _objective(one[_N_COILS], kspace, mask, maps[_N_COILS]) for one in (images, bart_images)
    )
    support = maps[_N_COILS].abs().square().sum(0) > 0.5
    error, bart_error = (_nrmse(one, truth, support) for one in (images[_N_VIRTUAL], bart_images[_N_COILS]))
    return [
        Row(
            titles[0],
            value,
            "CPU s",
            f"bart pics {anchor:.1f} s",
            anchor / value,
            goals[0],
            anchor >= 4 * value and objective <= bart_objective,
            f"objective {objective:.2f}, BART's {bart_objective:.2f}",
        ),
        Row(
            titles[1],
            virtual_value,
            "CPU s",
            f"bart pics, {_N_COILS} coils, {anchor:.1f} s",
            anchor / virtual_value,
            goals[1],
            anchor >= 8 * virtual_value and error <= 1.01 * bart_error,
            f"NRMSE {error:.4f}, BART's {bart_error:.4f}; compression counts; bart pics on the same {_N_VIRTUAL} "
            f"takes {virtual_anchor:.1f} s ({virtual_anchor / virtual_value:.0f} ×)",
        ),
    ]


def _scan() -> tuple[Any, Any, Any]:
    """Return undersampled k-space, its mask, and the image without noise, combined over the coils."""
    import torch

    from recon import masks
    from recon.coils import root_sum_of_squares
    from recon.fourier import ifft2c
    from recon.phantom import PhantomSpec, slice_kspace

    noisy, clean = (
        torch.from_numpy(slice_kspace(PhantomSpec(n_slices=1, n_coils=_N_COILS, matrix=_MATRIX, noise=noise), 0))
        for noise in (0.02, 0.0)
    )
    mask = torch.from_numpy(masks.make(masks.MaskSpec("equispaced-fraction", 4, seed=0), _MATRIX).mask)
    return noisy * mask, mask, root_sum_of_squares(ifft2c(clean))


def _bart() -> str:
    return str(programs.find("bart"))


def _bart_maps(folder: str, n_coils: int, kspace: Any) -> Any:
    """Let BART estimate the maps, and leave k-space and maps in the folder for it."""
    from recon.io import cfl

    # BART's first dimensions are readout, two phase encodes and coils.
    cfl.write(Path(folder) / f"kspace{n_coils}", kspace.numpy().transpose(1, 2, 0)[None])
    command = [_bart(), "ecalib", "-m1", f"-r{_N_CALIBRATION}", f"kspace{n_coils}", f"maps{n_coils}"]
    cpu_seconds_of(command, folder)
    return _read(folder, f"maps{n_coils}")


def _own_maps(folder: str, n_coils: int, kspace: Any) -> Any:  # noqa: ARG001
    from recon.coils import espirit

    return espirit(kspace, _N_CALIBRATION)


def _read(folder: str, name: str) -> Any:
    """Return BART's coil images as a tensor ``(coil, y, x)``."""
    import numpy as np
    import torch

    from recon.io import cfl

    values = np.array(cfl.read(Path(folder) / name))
    values = values.reshape(*_MATRIX, -1)
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))


def _total_variation(kspace: Any, mask: Any, maps: Any) -> Any:
    from recon.fourier import ifft2c
    from recon.models import create

    model = create("cs-tv", len(kspace), lambda_=_LAMBDA)
    return model(ifft2c(kspace)[None], kspace[None], mask, maps[None])[0, 0]


def _objective(image: Any, kspace: Any, mask: Any, maps: Any) -> float:
    """Return ½‖y/s − A x/s‖² + λ‖∇x/s‖₂,₁ as it is defined, in double precision."""
    import torch

    from recon.models.scaling import bart_scale
    from recon.operator import Encoding

    scale = float(bart_scale(kspace, mask))
    image = image.to(torch.complex128) / scale
    residual = Encoding(mask, maps.to(torch.complex128)).forward(image) - kspace.to(torch.complex128) / scale
    steps = torch.stack([torch.roll(image, -1, dim) - image for dim in (0, 1)])
    variation = steps.abs().square().sum(0).sqrt().sum()
    return float(0.5 * residual.abs().square().sum() + _LAMBDA * variation)


def _nrmse(image: Any, truth: Any, support: Any) -> float:
    """Return the error of a magnitude against the truth where the maps have support, at the best brightness."""
    import torch

    found, expected = image.abs()[support], truth[support]
    factor = (found * expected).sum() / found.square().sum()
    return float(torch.linalg.vector_norm(factor * found - expected) / torch.linalg.vector_norm(expected))
