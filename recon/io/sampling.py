"""Which samples a file's k-space holds: all of them, those of a mask, or those that are not zero.

Measured samples are noise and never exactly zero, so a few rows of one coil tell which columns were acquired.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BAND_ROWS = 16
# Below this share of non-zero samples, a region was not fully acquired. Raw data of few bits hold some true zeros.
_DENSE = 0.8
# From this share of zeros on a slice was sampled otherwise: half of two patterns differs, and they share their centre.
MOST_EMPTY = 0.4
# Padding is the same on both sides, but for a column or two, and what a scanner adds to one of them.
_MOST_LOPSIDED = 0.05


@dataclass(frozen=True)
class Sampling:
    """What was acquired.

    Attributes
    ----------
    acquired_mask
        bool ``(1, x)`` or ``(y, x)``; None when everything was acquired.
    padding
        First and one-past-last acquired column; None when all were.
    has_full_kspace
        True when every sample is in the file, whatever the mask says: then a reference exists.
    note
        Sentence for the user; empty when there is nothing to say.
    fingerprint
        Hash of the rows that were read, which tells the data from all others; empty where they hold nothing.
    """

    acquired_mask: NDArray[np.bool_] | None
    padding: tuple[int, int] | None
    has_full_kspace: bool
    note: str = ""
    fingerprint: str = ""


@dataclass(frozen=True)
class _Probe:
    """What a slice shows: columns with data, and the sample pattern where it is not made of columns."""

    columns: NDArray[np.bool_]
    points: NDArray[np.bool_] | None
    fingerprint: str

    @property
    def extent(self) -> tuple[int, int]:
        hit = np.flatnonzero(self.columns)
        return int(hit[0]), int(hit[-1]) + 1

    @property
    def is_full(self) -> bool:
        first, last = self.extent
        return self.points is None and bool(self.columns[first:last].all())


def analyse(dataset: Any, mask: NDArray[np.bool_] | None, header_padding: tuple[int, int] | None) -> Sampling:
    """Find out what was acquired, reading a few rows of one coil of the middle slice, or of others where it is odd.

    Whether each slice keeps to it is told by `differs`, when it is read.

    Parameters
    ----------
    dataset
        k-space ``(slices, coils, y, x)`` or ``(slices, y, x)``; read by slicing.
    mask
        Pattern that the file stores, ``(1, x)`` or ``(y, x)``, or None.
    header_padding
        Columns that were acquired according to the header's encoding limits, or None.
    """
    probe = _probe_any(dataset)
    if probe is None:  # zeros show nothing; reading a slice will say so
        full_mask = mask is None or bool(mask.all())
        return Sampling(None if full_mask else mask, None, full_mask)
    if mask is None and not probe.is_full:
        # One slice that lost a line must not make an undersampled scan of all the others.
        n_slices = dataset.shape[0]
        beside = [_probe(dataset, index) for index in {n_slices // 4, 3 * n_slices // 4} - {n_slices // 2}]
        full = [other for other in beside if other is not None and other.is_full]
        probe = full[0] if full and len(full) == len(beside) else probe
    return replace(_judge(probe, mask, header_padding, dataset.shape[-1]), fingerprint=probe.fingerprint)


def differs(kspace: NDArray[np.complex64], mask: NDArray[np.bool_] | None, *, is_full: bool) -> str:
    """Say how a slice was sampled otherwise than its series, as part of a sentence; empty where it was not.

    Zeros that stand where something was measured are what spoils images, so those are counted. Some are no news: data
    of few bits or without noise hold true ones, scanners skip corners and sides, and a line may be lost.

    Parameters
    ----------
    kspace
        ``(coil, y, x)``.
    mask
        Pattern of the series, ``(1, x)`` or ``(y, x)``; None where everything was acquired.
    is_full
        True when every sample of the series is in the file, whatever its mask says.
    """
    wanted = np.ones((1, kspace.shape[-1]), bool) if is_full or mask is None else mask
    # A few rows of one coil tell, almost always; all that there is has the last word.
    rows = _band(kspace.shape[1], kspace.shape[1] // 2) if wanted.shape[0] == 1 else slice(None)
    share = _empty_share(kspace[:1, rows], wanted)
    if share > MOST_EMPTY:
        share = _empty_share(kspace, wanted)
    if share <= MOST_EMPTY:
        return ""
    what = "columns of the series are" if is_full or mask is None else "mask of the series is"
    return f"{share:.0%} of the {what} empty in it"


def _empty_share(kspace: NDArray[np.complex64], wanted: NDArray[np.bool_]) -> float:
    """Share of the wanted samples without data, of those in the box that holds the data."""
    points = (kspace != 0).any(axis=0)
    if wanted.shape[0] == 1:
        points = points.any(axis=0, keepdims=True)
    y, x = (np.flatnonzero(points.any(axis=axis)) for axis in (1, 0))
    if not y.size:
        return 1.0
    box = slice(y[0], y[-1] + 1), slice(x[0], x[-1] + 1)
    n_wanted = int(wanted[box].sum())
    return float((wanted & ~points)[box].sum() / n_wanted) if n_wanted else 1.0


def from_columns(columns: NDArray[np.bool_], header_padding: tuple[int, int] | None) -> Sampling:
    """Judge the columns that a scanner says it acquired, by the rules of `analyse`.

    Parameters
    ----------
    columns
        bool ``(x,)``; at least one is True.
    header_padding
        Columns that were acquired according to the header's encoding limits, or None.
    """
    found = _judge(_Probe(columns, None, ""), None, header_padding, columns.size)
    if found.has_full_kspace:
        return found
    note = f"Prospectively undersampled: {int(columns.sum())} of {columns.size} phase encodes were acquired"
    return replace(found, note=f"{note}, so no reference exists.")


def _judge(
    probe: _Probe, mask: NDArray[np.bool_] | None, header_padding: tuple[int, int] | None, columns: int
) -> Sampling:
    padding = _padding(probe, header_padding, columns)
    first, last = padding or (0, columns)
    if mask is not None and not mask[:, first:last].all():
        kept = f"{mask.mean():.1%} of the samples"
        if probe.is_full:
            return Sampling(
                mask,
                padding,
                True,
                f"The k-space is full, but the file brings a mask that keeps {kept}: it is laid over the data.",
            )
        return Sampling(
            mask,
            _header_only(probe, header_padding, columns),
            False,
            f"Prospectively undersampled: the file's mask keeps {kept}, so no reference exists.",
        )
    if probe.is_full:
        return Sampling(None, padding, True, _one_sided(probe, columns))
    found = probe.columns[None] if probe.points is None else probe.points
    return Sampling(
        found,
        _header_only(probe, header_padding, columns),
        False,
        f"Prospectively undersampled: {found.mean():.1%} of the samples are not zero (the file holds no mask that says "
        "so), so no reference exists.",
    )


def _header_only(probe: _Probe, header_padding: tuple[int, int] | None, columns: int) -> tuple[int, int] | None:
    """Padding of undersampled data: an empty edge may be skipped or padding, so only the header can tell."""
    if header_padding is None or header_padding == (0, columns) or not _covers(header_padding, probe):
        return None
    return header_padding


def _padding(probe: _Probe, header_padding: tuple[int, int] | None, columns: int) -> tuple[int, int] | None:
    """The header's padding where the data agree with it, else the extent of the data."""
    padding = header_padding if header_padding is not None and _covers(header_padding, probe) else probe.extent
    return None if padding == (0, columns) else padding


def _one_sided(probe: _Probe, columns: int) -> str:
    """Say that more columns are missing on one side than padding explains; empty where not."""
    first, last = probe.extent
    left, right = first, columns - last
    if abs(left - right) <= _MOST_LOPSIDED * columns:
        return ""
    return (
        f"{max(left, right)} of {columns} columns are empty on one side of the k-space (partial Fourier?): the rest is "
        "taken for the whole."
    )


def _covers(padding: tuple[int, int], probe: _Probe) -> bool:
    first, last = probe.extent
    return padding[0] <= first and last <= padding[1]


def _probe_any(dataset: Any) -> _Probe | None:
    """Probe the slice nearest to the middle that holds anything."""
    n_slices = int(dataset.shape[0])
    order = sorted(range(n_slices), key=lambda index: abs(index - n_slices // 2))
    return next((probe for index in order if (probe := _probe(dataset, index)) is not None), None)


def _probe(dataset: Any, index: int) -> _Probe | None:
    rows = int(dataset.shape[-2])
    # One band through the centre, where every pattern has signal, and one beside it, where rows may be skipped.
    bands = [_band(rows, rows // 2), _band(rows, rows // 4)]
    for coil in range(dataset.shape[1] if dataset.ndim == 4 else 1):
        where = (index, coil) if dataset.ndim == 4 else (index,)
        rows_read = [dataset[(*where, band)] for band in bands]
        seen = [_sampled(values) for values in rows_read]
        hit = _any_row(np.concatenate(seen))
        if not hit.any():
            continue  # a dead coil
        fingerprint = hashlib.sha256(b"".join(values.tobytes() for values in rows_read)).hexdigest()
        if all(_is_dense(part[:, hit]) for part in seen):
            return _Probe(hit, None, fingerprint)
        points = _sampled(dataset[where])
        hit = _any_row(points)
        return _Probe(hit, None if fills_ellipse(points) else points, fingerprint)
    return None


def _band(rows: int, centre: int) -> slice:
    first = max(min(centre - _BAND_ROWS // 2, rows - _BAND_ROWS), 0)
    return slice(first, min(first + _BAND_ROWS, rows))


def _sampled(values: NDArray[Any]) -> NDArray[np.bool_]:
    """True where a complex value, or one of the two fields that stand for one, is not zero."""
    parts = [values] if values.dtype.names is None else [values[name] for name in values.dtype.names]
    return np.asarray(sum(part != 0 for part in parts), bool)


def _any_row(points: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(points.any(axis=0), bool)


def _is_dense(points: NDArray[np.bool_]) -> bool:
    """True when a band holds data throughout; a band that is empty lies in the padding and says nothing."""
    return not points.any() or bool(points.mean() >= _DENSE)


def fills_ellipse(points: NDArray[np.bool_]) -> bool:
    """Return True when the data fill the ellipse in their bounding box: padding and skipped corners, but no gaps."""
    y, x = (np.flatnonzero(points.any(axis=axis)) for axis in (1, 0))
    box = points[y[0] : y[-1] + 1, x[0] : x[-1] + 1]
    if y.size < box.shape[0]:
        return False  # a whole row is missing between others
    rows, columns = (np.linspace(-1, 1, size) if size > 1 else np.zeros(1) for size in box.shape)
    inside = rows[:, None] ** 2 + columns[None] ** 2 <= 1
    return bool(box[inside].mean() >= _DENSE)
