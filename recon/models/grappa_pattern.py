"""The patterns that GRAPPA fills: measured columns at regular steps, and calibration lines. Needs no torch."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from recon.errors import ModelError
from recon.masks import count_low_frequency, named

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Where the measured neighbours of a missing column lie, relative to it: (-3, -1, 1, 3) for every second column.
Geometry = tuple[int, ...]


def lines(pattern: NDArray[np.bool_], n_columns: int) -> NDArray[np.bool_]:
    """Return the measured columns, one row for each pattern in the batch.

    Parameters
    ----------
    pattern
        Mask, broadcastable to ``(*batch, y, x)``.
    n_columns
        Columns of the k-space.

    Raises
    ------
    ModelError
        If it holds single points.
    """
    if pattern.ndim > 1 and not (pattern == pattern[..., :1, :]).all():
        raise ModelError(
            f"GRAPPA needs whole columns of k-space, the mask has single points; choose {named('equispaced')}, or "
            "CS-wavelet (cs-wavelet) for this one."
        )
    pattern = pattern[..., :1, :] if pattern.ndim > 1 else pattern
    pattern = np.broadcast_to(pattern, (*pattern.shape[:-1], n_columns)).reshape(-1, n_columns)
    same = (pattern == pattern[:1]).all()
    return pattern[:1] if same else pattern


def calibration_lines(sampled: NDArray[np.bool_]) -> tuple[int, int]:
    """Return the first and last calibration line, after a look at whether the rest is regular.

    Raises
    ------
    ModelError
        If there are none, or nothing else, or the rest is irregular.
    """
    measured = np.flatnonzero(sampled)
    if count_low_frequency(sampled[None]) < 2:
        raise ModelError(
            "GRAPPA needs calibration lines, a fully sampled band in the middle, and the mask has none; raise the "
            "centre fraction."
        )
    first = last = len(sampled) // 2
    while first > 0 and sampled[first - 1]:
        first -= 1
    while last + 1 < len(sampled) and sampled[last + 1]:
        last += 1
    steps = [b - a for a, b in pairwise(measured[measured <= first])][:-1]
    steps += [b - a for a, b in pairwise(measured[measured >= last])][1:]
    if not (measured < first).any() and not (measured > last).any():
        raise ModelError(
            "GRAPPA needs measured columns all over k-space, the mask has its calibration lines alone; lower the "
            f"centre fraction or choose {named('equispaced')}."
        )
    # Rounding of a step that is no whole number makes two neighbouring whole ones.
    if steps and max(steps) - min(steps) > 1:
        raise ModelError(
            f"GRAPPA needs regularly spaced columns, the mask has steps of {min(steps)} to {max(steps)} columns; "
            f"choose {named('equispaced')} or {named('equispaced-fraction')}."
        )
    return first, last


def geometries(sampled: NDArray[np.bool_], n_calibration: int, n_neighbours: int = 4) -> dict[Geometry, list[int]]:
    """Return the missing columns of a pattern, by where their nearest measured columns lie.

    Parameters
    ----------
    sampled
        Columns that were measured.
    n_calibration
        Calibration lines; a geometry that spans more than half of them loses its farthest neighbour.
    n_neighbours
        Measured columns that a missing one is made of.

    Raises
    ------
    ModelError
        If not even the two next neighbours fit.
    """
    measured = np.flatnonzero(sampled)
    found: dict[Geometry, list[int]] = defaultdict(list)
    for column in np.flatnonzero(~sampled):
        after = int(np.searchsorted(measured, column))
        if after in (0, len(measured)):
            continue  # nothing beyond: a guess from one side would be an extrapolation
        half = n_neighbours // 2
        near = [int(place - column) for place in measured[max(0, after - half) : after + half]]
        while len(near) > 2 and near[-1] - near[0] > n_calibration // 2:
            # The farther end goes, but never the last neighbour of its side.
            drops_left = near[1] < 0 and (-near[0] >= near[-1] or near[-2] < 0)
            near = near[1:] if drops_left else near[:-1]
        if near[-1] - near[0] >= n_calibration:
            raise ModelError(
                f"GRAPPA needs at least {near[-1] - near[0] + 1} calibration lines for columns that are "
                f"{near[-1] - near[0]} apart, the mask has {n_calibration}; raise the centre fraction or lower the "
                "acceleration."
            )
        found[tuple(near)].append(int(column))
    return dict(found)
