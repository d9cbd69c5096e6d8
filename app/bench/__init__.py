"""The benchmark: every row is a ratio against an anchor that is measured in the same run, or a rate with a goal.

Each measurement runs in a process of its own (``python -m app.bench NAME``), so that what one imports or allocates
does not colour the next, and prints its rows as JSON. Runs of a value and of its anchor are interleaved and the median
is taken, so that a busy machine disturbs both alike. One thread and CPU seconds are the measure where nothing else is
said; the start of the window and the loader of a training, where processes wait for each other, go by the clock.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

from app.bench import coils, compressed_sensing, networks, opening, training, window
from app.bench.measuring import TIMEOUT_S, Row, child_environment, last_line
from recon.errors import MRIError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MEASUREMENTS: dict[str, Callable[..., list[Row]]] = {
    "window": window.measure_window,
    "scrolling": window.measure_scrolling,
    "opening": opening.measure_opening,
    "volume": opening.measure_volume,
    "compression": coils.measure_coils,
    "compression-bart": coils.measure_compression,
    "maps": coils.measure_maps,
    "compressed-sensing": compressed_sensing.measure_compressed_sensing,
    "precision": networks.measure_precision,
    **{preset: partial(networks.measure_network, preset) for preset in networks.presets()},
    "training-step": training.measure_step,
    "training-loader": training.measure_loader,
    "training-gpu": training.measure_gpu,
}

GROUPS: dict[str, tuple[str, ...]] = {
    "window": ("window", "scrolling"),
    "opening": ("opening", "volume"),
    "coils": ("compression", "compression-bart", "maps"),
    "compressed-sensing": ("compressed-sensing",),
    "networks": ("precision", *networks.presets()),
    "training": ("training-step", "training-loader", "training-gpu"),
}
"""Measurements that are asked for together; every one is in a group."""


def select(only: Sequence[str] | None, *, quick: bool) -> list[str]:
    """Return the names of the measurements to make.

    Parameters
    ----------
    only
        Names of groups, of measurements, or of networks; None takes all.
    quick
        Whether all, or the group of networks, means few networks.

    Raises
    ------
    MRIError
        If there is none of a name.
    """
    left_out = set(networks.presets()) - set(networks.QUICK_PRESETS) if quick else set()
    chosen: dict[str, None] = {}
    for name in GROUPS if only is None else only:
        if name in GROUPS:
            chosen |= dict.fromkeys(one for one in GROUPS[name] if one not in left_out)
        elif name in MEASUREMENTS:
            chosen[name] = None
        else:
            others = [other for other in MEASUREMENTS if other not in GROUPS and other not in networks.presets()]
            raise MRIError(
                f"no measurement {name!r}; there are the groups {', '.join(GROUPS)}, of which one can take "
                f"{', '.join(others)}, or a network by its name."
            )
    return list(chosen)


def measure(name: str, *, quick: bool) -> list[Row]:
    """Run a measurement in a process of its own.

    Raises
    ------
    MRIError
        If it fails.
    """
    command = [sys.executable, "-m", "app.bench", name, *(["--quick"] if quick else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, env=child_environment())
    except subprocess.TimeoutExpired:
        raise MRIError(f"the measurement of {name} took more than {TIMEOUT_S} s.") from None
    if done.returncode:
        raise MRIError(f"the measurement of {name} failed: {last_line(done.stderr)}")
    return [Row(**values) for values in json.loads(done.stdout.strip().splitlines()[-1])]


__all__ = ["GROUPS", "MEASUREMENTS", "Row", "measure", "select"]
