"""Numbers beside an axis: round, at least two, and short enough for the room that there is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


def ticks(low: float, high: float, gap: float, margin: float = 0.0) -> list[float]:
    """Return two or more round numbers, so far apart as is wanted wherever that leaves two.

    Parameters
    ----------
    low, high
        What the axis shows.
    gap
        Least distance that is wanted.
    margin
        What is left free at both ends.
    """
    margin = min(margin, 0.25 * (high - low))
    power = math.floor(math.log10(gap) + 1e-9)
    steps = [factor * 10.0 ** (power - down) for down in range(-1, 4) for factor in (5.0, 2.0, 1.0)]
    coarse = [step for step in steps if step >= gap * (1 - 1e-9)]
    for step in (coarse[-1], *steps[len(coarse) :]):
        first, last = math.ceil((low + margin) / step), math.floor((high - margin) / step)
        if last > first:
            # A finer step than wanted is not written at each place.
            stride = min(last - first, max(1, math.ceil(gap / step - 1e-9)))
            return [number * step for number in range(first, last + 1, stride)]
    return [low, high]


def log_ticks(low: float, high: float, gap: float, margin: float = 0.0) -> list[float]:
    """Do the same for an axis of logarithms to the base of 10; between two decades, too."""
    margin = min(margin, 0.25 * (high - low))
    decades = range(math.floor(low), math.ceil(high) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5)):
        found = [decade + math.log10(factor) for decade in decades for factor in factors]
        found = [one for one in found if low + margin <= one <= high - margin]
        if len(found) > 1:
            apart = (found[-1] - found[0]) / (len(found) - 1)
            return found[:: min(len(found) - 1, max(1, math.ceil(gap / apart - 1e-9)))]
    numbers = ticks(10.0**low, 10.0**high, 10.0**high - 10.0**low)
    return [math.log10(one) for one in numbers if one > 0]


def written(values: Sequence[float]) -> list[str]:
    """Write numbers as briefly as tells them apart: 0.25, 12k, 2e-4."""
    largest = max(map(abs, values), default=0.0)
    if largest == 0 or not math.isfinite(largest):
        return [f"{value:g}" for value in values]
    steps = np.diff(np.sort(values))
    step = float(min(steps[steps > 0], default=largest))
    power, unit = 0, ""
    if largest < 0.01:
        power = math.floor(math.log10(largest) + 1e-9)
        unit = f"e{power}"
    elif largest >= 10_000:
        power, unit = (6, "M") if largest >= 1e6 else (3, "k")
    scaled = np.asarray(values) / 10.0**power
    close = 0.01 * step / 10.0**power
    places = next((n for n in range(12) if np.abs(np.round(scaled, n) - scaled).max() <= close), 12)
    return [f"{value:.{places}f}{unit}" if value else "0" for value in scaled]
