"""Sampling patterns: which columns (phase encodes), or which points, of k-space are kept.

The five line masks equal fastMRI's ``fastmri/data/subsample.py`` bit for bit, random numbers included.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recon import npy
from recon.errors import FileError, RequestError
from recon.values import real, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.random import RandomState
    from numpy.typing import NDArray

LINE_KINDS = ("random", "equispaced", "equispaced-fraction", "magic", "magic-fraction")
POINT_KINDS = ("gaussian-2d", "poisson-2d")
KINDS = (*LINE_KINDS, *POINT_KINDS, "none")
TITLES = {
    "random": "Random lines",
    "equispaced": "Equispaced lines",
    "equispaced-fraction": "Equispaced, exact share",
    "magic": "Magic lines",
    "magic-fraction": "Magic, exact share",
    "gaussian-2d": "Gaussian points (2-D)",
    "poisson-2d": "Poisson disc (2-D)",
    "none": "Fully sampled",
}
"""What a person reads for each of `KINDS`."""

# Far beyond any use; larger numbers only overflow.
_MAX_ACCELERATION = 10_000
# fastMRI publishes 0.08 at 4x and 0.04 at 8x; 6x is stated nowhere and interpolated.
_CENTER_FRACTIONS: dict[float, float] = {4: 0.08, 6: 0.06, 8: 0.04}


def named(kind: str) -> str:
    """Return what a message calls a kind of mask: its title, and the name that a command line takes."""
    return f"“{TITLES[kind]}” ({kind})"


def default_center_fraction(acceleration: float) -> float:
    """Return the centre fraction that fastMRI uses at an acceleration: 0.08 at 4x, 0.04 at 8x, else 0.32 / R."""
    return _CENTER_FRACTIONS.get(acceleration, min(round(0.32 / acceleration, 4), 1.0))


@dataclass(frozen=True)
class MaskSpec:
    """A sampling pattern in words.

    Attributes
    ----------
    kind
        One of `KINDS`, or ``file:PATH`` for a pattern stored as ``.npy``.
    acceleration
        Nominal acceleration R.
    center_fraction
        Share of the columns that is always kept in the centre; None takes fastMRI's for this acceleration.
    seed
        Integer; ``"filename"`` gives every slice of a file the same pattern, as fastMRI's validation does;
        None is the same as ``"filename"`` so that a request always means one pattern. Without a file, that is seed 0.
    offset
        First column of the equispaced and magic patterns; None draws it.
    """

    kind: str = "equispaced-fraction"
    acceleration: float = 4
    center_fraction: float | None = None
    seed: int | str | None = "filename"
    offset: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS and not str(self.kind).startswith("file:"):
            raise RequestError(
                f"mask type {self.kind!r} is unknown; choose one of {', '.join(KINDS)} or file:MASK.npy."
            )
        if self.seed is None:
            object.__setattr__(self, "seed", "filename")
        if isinstance(self.seed, str) and self.seed != "filename":
            raise RequestError(f"seed is {self.seed!r}; give a whole number from 0, or 'filename'.")
        self._tidy_numbers()
        if isinstance(self.seed, int) and not 0 <= self.seed < 2**32:
            raise RequestError(f"seed is {self.seed}; give a whole number from 0 to {2**32 - 1}, or 'filename'.")
        if not 1 <= self.acceleration <= _MAX_ACCELERATION:
            raise RequestError(f"acceleration is {self.acceleration}; it must lie between 1 and {_MAX_ACCELERATION}.")
        if self.offset is not None and self.offset < 0:
            raise RequestError(f"offset is {self.offset}; columns are counted from 0.")
        fraction = self.center_fraction
        if fraction is not None and not (np.isfinite(fraction) and 0 <= fraction <= 1):
            raise RequestError(f"centre fraction is {fraction}; it must lie between 0 and 1.")
        if self.kind in KINDS and self.kind != "none" and self.acceleration > 1:
            product = self.fraction * self.acceleration
            if product >= 1:
                raise RequestError(
                    f"centre fraction {self.fraction:g} × acceleration {self.acceleration:g} = {product:g} leaves no "
                    "samples outside the centre; lower one of them until the product is below 1."
                )

    def _tidy_numbers(self) -> None:
        object.__setattr__(self, "acceleration", real(self.acceleration, "acceleration"))
        if self.center_fraction is not None:
            object.__setattr__(self, "center_fraction", real(self.center_fraction, "centre fraction"))
        if not isinstance(self.seed, str):
            object.__setattr__(self, "seed", whole(self.seed, "seed"))
        if self.offset is not None:
            object.__setattr__(self, "offset", whole(self.offset, "offset"))

    @property
    def fraction(self) -> float:
        """Centre fraction with the default filled in."""
        if self.center_fraction is not None:
            return float(self.center_fraction)
        return default_center_fraction(self.acceleration)

    @property
    def label(self) -> str:
        """Short text for records, e.g. ``random 4x``."""
        if self.kind == "none":
            return "fully sampled"
        if self.kind.startswith("file:"):
            return f"mask {Path(self.kind[5:]).name}"
        return f"{self.kind} {self.acceleration:g}x"

    @property
    def title(self) -> str:
        """What a person reads, e.g. ``Random lines 4×``."""
        is_named = self.kind in KINDS and self.kind != "none"
        return f"{TITLES[self.kind]} {self.acceleration:g}×" if is_named else self.label

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> MaskSpec:
        """Build a pattern from plain values; unknown names raise RequestError."""
        known = {item.name for item in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise RequestError(f"a mask has no field {unknown[0]!r}; it has {', '.join(sorted(known))}.")
        return cls(**values)


@dataclass(frozen=True, eq=False)
class SamplingMask:
    """A sampling pattern in samples.

    Attributes
    ----------
    mask
        bool ``(1, x)`` for line masks, ``(y, x)`` for point masks.
    n_low_frequency
        Width of the fully sampled centre, in columns (in points along x for point masks).
    """

    mask: NDArray[np.bool_]
    n_low_frequency: int

    @property
    def acceleration(self) -> float:
        """Effective acceleration: positions over kept positions."""
        kept = int(self.mask.sum())
        return self.mask.size / kept if kept else float("inf")

    @property
    def is_line_mask(self) -> bool:
        """True when whole columns are kept or skipped."""
        return bool(self.mask.shape[0] == 1)


def make(spec: MaskSpec, shape: tuple[int, int], filename: str | None = None) -> SamplingMask:
    """Draw a pattern.

    Parameters
    ----------
    spec
        The pattern in words.
    shape
        ``(y, x)`` of the k-space.
    filename
        Base name of the data file, extension included; the seed when ``spec.seed`` is ``"filename"``. None is seed 0.

    Raises
    ------
    RequestError
        If the pattern is impossible for this shape.
    FileError
        If a mask file cannot be read or does not fit.
    """
    if not isinstance(spec, MaskSpec):
        raise RequestError(f"the mask is a {type(spec).__name__}; a MaskSpec was expected.")
    rows, columns = _checked_shape(shape)
    if spec.offset is not None and spec.offset >= columns:
        raise RequestError(f"offset is {spec.offset}, but the k-space has columns 0 to {columns - 1}.")
    if spec.kind == "none" or (spec.acceleration == 1 and spec.kind in KINDS):
        return SamplingMask(np.ones((1, columns), bool), columns)
    if spec.kind.startswith("file:"):
        mask = load_mask(Path(spec.kind[5:]), shape)
        return SamplingMask(mask, count_low_frequency(mask))
    seed = _seed(spec, filename)
    if spec.kind in POINT_KINDS:
        mask = _points(spec.kind, seed, rows, columns, spec.acceleration, spec.fraction).copy()
        return SamplingMask(mask, min(_centre_side(columns, spec.fraction), columns))
    rng = np.random.RandomState()
    rng.seed(seed)
    rng.randint(0, 1)  # fastMRI draws its (fraction, acceleration) pair even when there is one to choose from
    return _LINE_MASKS[spec.kind](rng, columns, spec)


def _checked_shape(shape: tuple[int, int]) -> tuple[int, int]:
    try:
        rows, columns = (whole(size, "size of the k-space") for size in shape)
    except (TypeError, ValueError):
        raise RequestError(f"the shape of the k-space is {shape!r}; (y, x) was expected.") from None
    if rows < 1 or columns < 1:
        raise RequestError(f"the k-space is {rows} × {columns}; a mask needs at least one row and one column.")
    return rows, columns


def from_array(mask: NDArray[Any], shape: tuple[int, int], name: str) -> NDArray[np.bool_]:
    """Bring a stored pattern to ``(1, x)`` or ``(y, x)``; one whose rows are alike is made of lines.

    Parameters
    ----------
    mask
        Array ``(x,)``, ``(1, x)`` or ``(y, x)``; anything but 0 counts as sampled.
    shape
        ``(y, x)`` of the k-space.
    name
        File that it came from, for the error.

    Raises
    ------
    FileError
        If it is of another shape, keeps nothing, or holds numbers that are not finite, below 0 or between 0 and 1.
    """
    rows, columns = shape
    array = np.asarray(mask)
    if array.dtype.kind not in "buif":
        raise FileError(name, f"the mask holds {array.dtype} values; 0 and 1 were expected.")
    if array.ndim > 2:
        # fastMRI writes masks with singleton axes around the columns.
        array = np.squeeze(array)
    if array.ndim == 1:
        array = array[None]
    if array.shape not in ((1, columns), (rows, columns)):
        raise FileError(
            name,
            f"the mask has shape {tuple(np.shape(mask))}, but the grid that it is for is {rows} × {columns}; "
            f"expected ({columns},) or ({rows}, {columns}).",
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise FileError(name, "the mask holds NaN or infinity; 0 and 1 were expected.")
    odd = array[(array < 0) | ((array > 0) & (array < 1))] if array.dtype.kind in "if" else array[:0]
    if odd.size:
        raise FileError(name, f"the mask holds {odd.flat[0]:g}; 0 and 1 were expected.")
    result: NDArray[np.bool_] = array != 0
    if not result.any():
        raise FileError(name, "the mask keeps no sample at all; at least the centre of k-space must be sampled.")
    # Lines need transforms along one axis, and methods look for calibration lines in them.
    return result[:1] if (result == result[:1]).all() else result


def load_mask(path: Path, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Read a pattern from a ``.npy`` file; see `from_array`."""
    return from_array(npy.load(path, "mask", "save one 0/1 array with numpy.save."), shape, str(path))


def count_low_frequency(mask: NDArray[np.bool_]) -> int:
    """Return the width of the fully sampled band around the centre column, 0 if the centre is not sampled.

    For a point mask, the largest fully sampled centred square counts.
    """
    if mask.shape[0] > 1:
        rows, columns = mask.shape
        side = 0
        while side < min(rows, columns) and centre_block(mask, side + 1).all():
            side += 1
        return side
    line = mask[0]
    centre = int(line.size) // 2
    if not line[centre]:
        return 0
    left = right = centre
    while left > 0 and line[left - 1]:
        left -= 1
    while right + 1 < line.size and line[right + 1]:
        right += 1
    return int(right - left + 1)


def centre_block(mask: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    """Return the centred square of a ``(y, x)`` mask."""
    rows, columns = mask.shape
    top, left = (rows - side + 1) // 2, (columns - side + 1) // 2
    return mask[top : top + side, left : left + side]


def _seed(spec: MaskSpec, filename: str | None) -> int | tuple[int, ...]:
    if spec.seed == "filename":
        if filename is not None and not isinstance(filename, str):
            raise RequestError(f"the file name is {filename!r}; give its text, or None.")
        return tuple(map(ord, filename)) if filename else 0
    assert isinstance(spec.seed, int)
    return spec.seed


def _with_centre(accelerated: NDArray[np.bool_], n_low: int) -> SamplingMask:
    columns = accelerated.size
    pad = (columns - n_low + 1) // 2
    mask = accelerated.copy()
    mask[pad : pad + n_low] = True
    return SamplingMask(mask[None], n_low)


def _random(rng: RandomState, columns: int, spec: MaskSpec) -> SamplingMask:
    n_low = round(columns * spec.fraction)
    probability = (columns / spec.acceleration - n_low) / (columns - n_low)
    return _with_centre(rng.uniform(size=columns) < probability, n_low)


def _equispaced(rng: RandomState, columns: int, spec: MaskSpec) -> SamplingMask:
    n_low = round(columns * spec.fraction)
    step = round(spec.acceleration)
    offset = rng.randint(0, step) if spec.offset is None else spec.offset
    accelerated = np.zeros(columns, bool)
    accelerated[offset::step] = True
    return _with_centre(accelerated, n_low)


def _equispaced_fraction(rng: RandomState, columns: int, spec: MaskSpec) -> SamplingMask:
    n_low = round(columns * spec.fraction)
    budget = n_low * spec.acceleration - columns
    if budget >= 0:  # rounding n_low up can spend the whole budget on a narrow k-space
        raise RequestError(
            f"{n_low} centre columns at acceleration {spec.acceleration:g} use up all {columns / spec.acceleration:g} "
            f"columns of a k-space {columns} wide; lower the centre fraction or the acceleration."
        )
    step = spec.acceleration * (n_low - columns) / budget
    offset = rng.randint(0, round(step)) if spec.offset is None else spec.offset
    accelerated = np.zeros(columns, bool)
    accelerated[np.around(np.arange(offset, columns - 1, step)).astype(int)] = True
    return _with_centre(accelerated, n_low)


def _magic_lines(rng: RandomState, columns: int, step: int, offset: int | None) -> NDArray[np.bool_]:
    """Offset-sampled lines of the two half spaces, so that each fills the gaps of the other's conjugate."""
    if offset is None:
        offset = rng.randint(0, step)
    positive_start, negative_start = (offset + 1, offset + 2) if offset % 2 == 0 else (offset + 2, offset - 1)
    positive = np.zeros((columns + 1) // 2, bool)
    positive[positive_start::step] = True
    negative = np.zeros(columns - positive.size, bool)
    negative[negative_start::step] = True
    return np.fft.fftshift(np.concatenate([positive, negative[::-1]]))


def _magic(rng: RandomState, columns: int, spec: MaskSpec) -> SamplingMask:
    n_low = round(columns * spec.fraction)
    return _with_centre(_magic_lines(rng, columns, int(spec.acceleration), spec.offset), n_low)


def _magic_fraction(rng: RandomState, columns: int, spec: MaskSpec) -> SamplingMask:
    target = round(columns / spec.acceleration)
    n_low = min(max(round(columns * spec.fraction), 1), target)
    rest = target - n_low
    step = round(columns / rest) if rest > 0 else 0
    if step < 1:
        raise RequestError(
            f"{n_low} centre columns at acceleration {spec.acceleration:g} use up all {target} columns of a k-space "
            f"{columns} wide; lower the centre fraction or the acceleration."
        )
    return _with_centre(_magic_lines(rng, columns, step, spec.offset), n_low)


_LINE_MASKS: dict[str, Callable[[RandomState, int, MaskSpec], SamplingMask]] = {
    "random": _random,
    "equispaced": _equispaced,
    "equispaced-fraction": _equispaced_fraction,
    "magic": _magic,
    "magic-fraction": _magic_fraction,
}


def _centre_side(columns: int, fraction: float) -> int:
    """Side of the fully sampled square of a point mask; at least 4, so that maps and scale can be estimated."""
    return max(round(columns * fraction), 4)


def _centre_square(rows: int, columns: int, fraction: float) -> NDArray[np.bool_]:
    mask = np.zeros((rows, columns), bool)
    height, width = (min(_centre_side(size, fraction), size) for size in (rows, columns))
    top, left = (rows - height + 1) // 2, (columns - width + 1) // 2
    mask[top : top + height, left : left + width] = True
    return mask


def _point_budget(mask: NDArray[np.bool_], acceleration: float) -> int:
    budget = round(mask.size / acceleration) - int(mask.sum())
    if budget <= 0:
        rows, columns = mask.shape
        raise RequestError(
            f"the sampled centre of {int(mask.sum())} points uses up all {round(mask.size / acceleration)} points that "
            f"acceleration {acceleration:g} leaves of a {rows} × {columns} k-space; lower one of them."
        )
    return budget


@lru_cache(maxsize=8)
def _points(
    kind: str, seed: int | tuple[int, ...], rows: int, columns: int, acceleration: float, fraction: float
) -> NDArray[np.bool_]:
    """Draw a point mask; kept, because a Poisson disc takes a second and every preview and slice asks for it again."""
    rng = np.random.RandomState()
    rng.seed(seed)
    mask = (_gaussian_2d if kind == "gaussian-2d" else _poisson_2d)(rng, rows, columns, acceleration, fraction)
    mask.setflags(write=False)
    return mask


def _gaussian_2d(rng: RandomState, rows: int, columns: int, acceleration: float, fraction: float) -> NDArray[np.bool_]:
    """Points drawn without replacement, with a Gaussian density around the centre; exactly N / R points."""
    mask = _centre_square(rows, columns, fraction)
    budget = _point_budget(mask, acceleration)
    y = (np.arange(rows) - rows // 2)[:, None] / rows
    x = (np.arange(columns) - columns // 2)[None] / columns
    # A floor keeps a few samples at the edge of k-space, where a pure Gaussian would leave none.
    density = np.exp(-0.5 * (y**2 + x**2) / 0.2**2) + 0.02
    # Gumbel keys: the largest `budget` keys are a weighted sample without replacement.
    keys = np.log(density) - np.log(-np.log(rng.uniform(1e-12, 1.0, size=mask.shape)))
    keys[mask] = -np.inf
    chosen = np.argpartition(keys.ravel(), -budget)[-budget:]
    mask.ravel()[chosen] = True
    return mask


def _poisson_2d(rng: RandomState, rows: int, columns: int, acceleration: float, fraction: float) -> NDArray[np.bool_]:
    """Variable-density Poisson disc: random points that keep a distance growing with the radius in k-space.

    The distance is scaled by bisection until the number of points meets N / R within 1 %; the last few points are
    added or dropped at random, so that the count is exact.
    """
    centre = _centre_square(rows, columns, fraction)
    budget = _point_budget(centre, acceleration)
    y = (np.arange(rows) - rows // 2)[:, None] / (rows / 2)
    x = (np.arange(columns) - columns // 2)[None] / (columns / 2)
    growth = 1.0 + 2.0 * np.sqrt(y**2 + x**2)
    order = rng.permutation(rows * columns)
    low, high = 0.05, float(np.sqrt(acceleration) * 2)
    points = np.zeros_like(centre)
    for _ in range(12):
        distance = 0.5 * (low + high)
        points = _throw_darts(order, growth * distance, centre)
        found = int(points.sum())
        if abs(found - budget) <= 0.01 * budget:
            break
        low, high = (distance, high) if found > budget else (low, distance)
    surplus = int(points.sum()) - budget
    if surplus > 0:
        points.ravel()[rng.choice(np.flatnonzero(points), surplus, replace=False)] = False
    elif surplus < 0:
        free = np.flatnonzero(~(points | centre))
        points.ravel()[rng.choice(free, min(-surplus, free.size), replace=False)] = True
    return centre | points


def _throw_darts(order: NDArray[np.int_], radius: NDArray[np.float64], blocked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Visit all points in the given order and keep those that no kept point has claimed within its radius."""
    rows, columns = blocked.shape
    taken = blocked.copy()
    flat = taken.data.cast("B")  # shares the memory; asking it is much cheaper than asking numpy
    kept = np.zeros_like(blocked)
    longest = max(rows, columns)
    squares = np.arange(-longest, longest + 1) ** 2
    for index in order.tolist():
        if flat[index]:
            continue
        row, column = divmod(index, columns)
        kept[row, column] = True
        reach = float(radius[row, column])
        span = int(reach)
        top, bottom = max(row - span, 0), min(row + span + 1, rows)
        left, right = max(column - span, 0), min(column + span + 1, columns)
        y = squares[longest + top - row : longest + bottom - row]
        x = squares[longest + left - column : longest + right - column]
        taken[top:bottom, left:right] |= y[:, None] + x <= reach * reach
    return kept
