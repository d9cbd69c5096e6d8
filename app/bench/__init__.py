"""The benchmark: every row is a ratio against an anchor that is measured in the same run, or a rate with a goal.

Each measurement runs in a process of its own (``python -m app.bench NAME``), so that what one imports or allocates
does not colour the next, and prints its rows as JSON. Runs of a value and of its anchor are interleaved and the median
is taken, so that a busy machine disturbs both alike. Networks, coils and compressed sensing are measured on one thread
and in CPU seconds; what a user waits for (start-up, opening) is measured by the clock.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

from app.bench import coils, compressed_sensing, networks, opening, window
from app.bench.measuring import TIMEOUT_S, Row, child_environment, last_line
from recon.errors import MRIError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NETWORKS = "networks"
"""Stands for the measurements of all networks, each of which has the name of its preset."""

MEASUREMENTS: dict[str, Callable[..., list[Row]]] = {
    "window": window.measure_window,
    "scrolling": window.measure_scrolling,
    "opening": opening.measure_opening,
    "coils": coils.measure_coils,
    "maps": coils.measure_maps,
    "compression": coils.measure_compression,
    "compressed-sensing": compressed_sensing.measure_compressed_sensing,
    "precision": networks.measure_precision,
    **{preset: partial(networks.measure_network, preset) for preset in networks.presets()},
}


def select(only: Sequence[str] | None, *, quick: bool) -> list[str]:
    """Return the names of the measurements to make.

    Parameters
    ----------
    only
        Names, `NETWORKS` among them; None takes all.
    quick
        Whether all means few networks.

    Raises
    ------
    MRIError
        If there is none of a name.
    """
    if only is None:
        left_out = set(networks.presets()) - set(networks.QUICK_PRESETS) if quick else set()
        return [name for name in MEASUREMENTS if name not in left_out]
    chosen: dict[str, None] = {}
    for name in only:
        if name not in (NETWORKS, *MEASUREMENTS):
            others = [other for other in MEASUREMENTS if other not in networks.presets()]
            raise MRIError(
                f"no measurement {name!r}; there are {', '.join(others)}, {NETWORKS}, and the name of any network."
            )
        chosen |= dict.fromkeys(networks.presets() if name == NETWORKS else [name])
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


__all__ = ["MEASUREMENTS", "NETWORKS", "Row", "measure", "select"]
