"""Which phase encodes of its grid an ISMRMRD series has: the headers of its readouts say so, line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recon.errors import FileError
from recon.io import sampling

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from recon.io.ismrmrd.encoding import Encoding

# A header that claims so many times more phase encodes than were measured is damaged.
_MAX_EMPTY = 256


def with_calibration(lines: NDArray[Any], calibration: NDArray[Any], grid: Encoding, said: list[str]) -> NDArray[Any]:
    """Return imaging readouts and those calibration readouts that fill gaps of the same grid.

    Parameters
    ----------
    lines, calibration
        Readouts for the image, and for calibration alone; see `acquisitions.DTYPE`.
    grid
        Their grid.
    said
        Gets what there is to say of it.
    """
    if not len(calibration):
        return lines
    alike = np.all(
        [calibration[name] == lines[name][0] for name in ("n_samples", "n_channels", "centre_sample")], axis=0
    )
    alike &= (calibration["channel_mask"] == lines["channel_mask"][0]).all(axis=1)
    alike &= np.isin(calibration["slice"], lines["slice"])
    place, other = _sample(lines), _sample(calibration)
    column, partition = calibration["step_1"] + grid.first_column, calibration["step_2"] + grid.first_partition
    alike &= (column >= 0) & (column < grid.matrix[1]) & (partition >= 0) & (partition < grid.n_partitions)
    fills = alike & ~np.isin(other, place)
    if fills.any():
        said.append(f"{int(fills.sum())} calibration readouts fill phase encodes that the imaging readouts skip.")
    if not fills.all():
        said.append(
            f"{int((~fills).sum())} calibration readouts are left out: the imaging readouts have their phase encodes, "
            "or they do not fit the grid."
        )
    return np.concatenate([lines, calibration[fills]]) if fills.any() else lines


def _sample(lines: NDArray[Any]) -> NDArray[np.int64]:
    """A number for each slab, phase encode and partition."""
    place = (lines["slice"] << 16) + lines["step_1"]
    return np.asarray((place << 16) + lines["step_2"], np.int64)


def sampled(lines: NDArray[Any], grid: Encoding, path: Path, said: list[str]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the readouts that are used, and the columns ``(x,)`` that they fill, the same in all slices.

    Where a few slices lack phase encodes that the others have, as in a scan that was stopped, those are left out; where
    each slice has its own, only common ones are used.

    Parameters
    ----------
    lines
        Readouts of one series.
    grid
        Their grid.
    path
        The file, for messages.
    said
        Gets what there is to say of it.

    Raises
    ------
    FileError
        If the slices have nothing in common, or partitions are undersampled.
    """
    numbers, slabs = np.unique(lines["slice"], return_inverse=True)
    if len(numbers) * grid.n_partitions * grid.matrix[1] > _MAX_EMPTY * max(len(lines), _MAX_EMPTY):
        raise FileError(
            path, "its header speaks of far more phase encodes than were measured; the header does not belong to them."
        )
    points = np.zeros((len(numbers), grid.n_partitions, grid.matrix[1]), bool)
    points[slabs.reshape(-1), lines["step_2"] + grid.first_partition, lines["step_1"] + grid.first_column] = True
    columns = points.any(axis=1)
    kinds, counts = np.unique(columns, axis=0, return_counts=True)
    if len(kinds) > 1:
        most = int(counts.argmax())
        if 2 * counts[most] > len(numbers):
            complete: NDArray[np.bool_] = np.asarray((columns | ~kinds[most]).all(axis=1))
            if not complete.all():
                left_out = ", ".join(map(str, numbers[~complete][:8].tolist()))
                said.append(
                    f"{int((~complete).sum())} of {len(numbers)} slices are left out, because phase encodes that the "
                    f"others have are missing: number {left_out}{' …' if (~complete).sum() > 8 else ''} of the file."
                )
                lines = lines[np.isin(lines["slice"], numbers[complete])]
                points, columns = points[complete], np.asarray(columns)[complete]
            common = np.asarray(kinds[most])
        else:
            common = np.asarray(columns.all(axis=0))
        if not common.any():
            raise FileError(path, "each slice was sampled along other phase encodes; common ones were expected.")
        if (columns & ~common).any():
            said.append("Phase encodes that only some slices have are not used.")
    else:
        common = np.asarray(kinds[0])
    if grid.n_partitions > 1:
        _check_partitions(points[:, :, common], path, said)
    is_common = common[lines["step_1"] + grid.first_column]
    return lines if is_common.all() else lines[is_common], common


def _check_partitions(points: NDArray[np.bool_], path: Path, said: list[str]) -> None:
    """Refuse a 3-D scan whose partitions cannot be turned into slices one phase encode at a time."""
    partitions = np.asarray(points.any(axis=(0, 2)))
    hit = np.flatnonzero(partitions)
    first, last = int(hit[0]), int(hit[-1]) + 1
    inside = points[:, first:last]
    if not inside.all():
        if not all(sampling.fills_ellipse(slab) for slab in inside):
            raise FileError(
                path,
                f"is a 3-D scan undersampled along its partitions ({inside.mean():.0%} of phase encodes and partitions "
                "were acquired); only the first phase encode may be undersampled.",
            )
        said.append("The corners of k-space, along phase encodes and partitions, were not acquired and are zero.")
    if last - first < len(partitions):
        said.append(f"Partitions {first} to {last - 1} of {len(partitions)} were acquired; the others are zero.")


def row_notes(rows: tuple[int, int], n_rows: int) -> list[str]:
    """Say which rows ``(first, one past last)`` were measured, of how many; nothing where all were."""
    first, last = rows
    if rows == (0, n_rows):
        return []
    parts = [f"the first {first}"] if first else []
    parts += [f"the last {n_rows - last}"] if last < n_rows else []
    kind = "Asymmetric echo" if abs(first - (n_rows - last)) > 1 else "Short readouts"
    return [f"{kind}: {' and '.join(parts)} of {n_rows} rows of k-space were not measured and are zero."]


def column_notes(acquired: sampling.Sampling, n_columns: int) -> list[str]:
    """Say which columns are padding; nothing where there is none."""
    if acquired.padding is None:
        return []
    first, last = acquired.padding
    kind = "partial Fourier" if abs(first - (n_columns - last)) > 1 else "padding"
    return [f"Columns {first} to {last - 1} of {n_columns} were acquired; the others are zero ({kind})."]
