"""Arrays without a header: k-space as BART's cfl or NumPy's npy, and magnitude images as npy.

Such files say nothing of pixel sizes, coils or which axis is which, so their axes have to come in one order, and a note
says how they were understood. They are mapped, and a slice is read when it is asked for.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recon import npy
from recon.data import Geometry, Header, Series, Study
from recon.errors import FileError, SliceError
from recon.io import cfl, reference, sampling, stamps
from recon.io.simulated import SMALLEST_SIDE, Plane, SimulatedSource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from recon.data import Kind
    from recon.simulate import SimulationSpec

# Rows through the middle of k-space, in which every acquired column holds something.
_BAND_ROWS = 16
# Least share of the energy of k-space in the middle eighth of both axes; real scans hold 0.8 there, images below 0.1.
_LEAST_CENTRAL = 0.25
_NPY_EXPECTED = (
    "complex k-space (slices, coils, y, x), (coils, y, x) or (y, x), or real images (slices, y, x) or (y, x), was "
    "expected."
)
# BART's names of its dimensions, in their order.
_DIMENSIONS = (
    "READ", "PHS1", "PHS2", "COIL", "MAPS", "TE", "COEFF", "COEFF2", "ITER", "CSHIFT", "TIME", "TIME2", "LEVEL",
    "SLICE", "AVG", "BATCH",
)  # fmt: skip
_COIL, _SLICE = 3, 13


@dataclass(frozen=True)
class KSpaceSource:
    """Reads slices of one array; the file is mapped only during a call.

    Attributes
    ----------
    path
        The file.
    view
        Maps the file as ``(slices, coils, y, x)``.
    recon_size
        ``(y, x)`` of the reference.
    stamp
        Size and time of the file when it was opened.
    is_volume
        True where the first axis is the readout of a 3-D scan in k-space; slices lie along it in the image.
    """

    path: Path
    view: Callable[[Path], NDArray[Any]]
    recon_size: tuple[int, int]
    stamp: stamps.Stamp
    is_volume: bool = False

    def kspace(self, index: int) -> NDArray[np.complex64]:
        """Return k-space ``(coil, y, x)`` of a slice."""
        stamps.check(self.path, self.stamp)
        values = self.view(self.path)
        if not self.is_volume:
            with np.errstate(over="ignore"):  # what overflows is found and named by whoever reads the slice
                return np.array(values[index], np.complex64)
        # One row of the centred, orthonormal inverse Fourier transform, laid over the readouts of a coil at a time.
        n_slices = len(values)
        place = np.arange(n_slices) - n_slices // 2
        row = np.exp(2j * np.pi * (index - n_slices // 2) * place / n_slices) / np.sqrt(n_slices)
        result = np.empty(values.shape[1:], np.complex64)
        for coil in range(values.shape[1]):
            # The readout is what lies together in BART's files: last, it is multiplied without a copy of the coil.
            result[coil] = (values[:, coil].T @ row.astype(np.complex64)).T
        return result

    def reference(self, index: int) -> NDArray[np.float32]:
        """Return the root sum of squares ``(y, x)`` of a fully sampled slice."""
        return reference.computed(self.kspace(index), self.recon_size)


class ImageSource(SimulatedSource):
    """Reads the images of one array; the file is mapped only during a call."""

    def __init__(self, frames: Sequence[Plane], simulation: SimulationSpec, stamp: stamps.Stamp) -> None:
        super().__init__(frames, simulation)
        self._stamp = stamp

    def image(self, index: int) -> NDArray[np.float32]:
        """Return the magnitude ``(y, x)`` of a slice."""
        path = self.frames[index].path
        stamps.check(path, self._stamp)
        return np.maximum(_values(_images(path), index, path), 0)


def read_npy(path: Path, simulation: SimulationSpec | None = None) -> Study:
    """Open an array of NumPy: complex values are k-space, real ones images that k-space is simulated from.

    Parameters
    ----------
    path
        The file.
    simulation
        How k-space is made from images; None takes the defaults.

    Raises
    ------
    FileError
        If it is damaged, or no array of k-space or images.
    """
    values = npy.load(path, "k-space or images", _NPY_EXPECTED, is_mapped=True)
    if values.dtype.kind == "b":
        raise FileError(path, f"holds true and false, as a mask does (`--mask file:{path.name}`); {_NPY_EXPECTED}")
    if values.dtype.kind not in "cfiu":
        raise FileError(path, f"holds {values.dtype} values; {_NPY_EXPECTED}")
    if values.ndim not in (2, 3, 4 if values.dtype.kind == "c" else 3) or 0 in values.shape:
        raise FileError(path, f"holds an array of shape {values.shape}; {_NPY_EXPECTED}")
    if values.dtype.kind == "c":
        axes = {2: "(y, x)", 3: "(coils, y, x)", 4: "(slices, coils, y, x)"}[values.ndim]
        return _kspace(path, "numpy", _npy_kspace, f"The array's axes are taken as {axes}, phase encodes along x.")
    return _simulated(path, simulation)


def is_surely_kspace(path: Path, found: str) -> bool:
    """Tell whether an array of a folder is Cartesian k-space; masks, maps, noise, trajectories lie beside scans too.

    Parameters
    ----------
    path
        The file.
    found
        What `recon.io.sniff` says of it: ``npy`` or ``cfl``.

    Raises
    ------
    FileError
        If it is damaged.
    """
    if found == "npy":
        values = npy.load(path, "k-space", _NPY_EXPECTED, is_mapped=True)
        if values.dtype.kind != "c" or values.ndim not in (3, 4) or 0 in values.shape:
            return False
        values = _npy_kspace(path)
    else:
        values = _bart_kspace(path)
    # The energy of k-space lies around its middle, that of images and maps wherever the object is.
    energy = np.square(np.abs(values[len(values) // 2])).sum(axis=0)
    top, left = (size // 2 - size // 16 for size in energy.shape)
    middle = energy[top : energy.shape[0] - top, left : energy.shape[1] - left]
    return bool(np.iscomplex(values[len(values) // 2, 0]).any() and middle.sum() > _LEAST_CENTRAL * energy.sum())


def read_cfl(path: Path) -> Study:
    """Open an array of BART as Cartesian k-space.

    Parameters
    ----------
    path
        Either file of the pair, or their common name.

    Raises
    ------
    FileError
        If a file of the pair is missing or damaged, or it holds more than slices and coils.
    """
    data = cfl.data_of(path)
    shape = _bart_shape(data)
    if min(shape[:3]) > 1:
        note = (
            "The array is taken as 3-D k-space (READ, PHS1, PHS2, COIL): slices lie along the readout, and reading one "
            "takes a pass over the whole file."
        )
        return _kspace(data, "bart", _bart_kspace, note, is_volume=True)
    axes = "(PHS1, PHS2, COIL)" if shape[0] == 1 else "(READ, PHS1, COIL)"
    if shape[_SLICE] > 1:
        axes = f"{axes[:-1]}, SLICE)"
    return _kspace(
        data, "bart", _bart_kspace, f"The array is taken as Cartesian k-space {axes}; BART's files do not say."
    )


def _kspace(
    path: Path, kind: Kind, view: Callable[[Path], NDArray[Any]], note: str, *, is_volume: bool = False
) -> Study:
    stamp = stamps.of(path)
    values = view(path)
    n_slices, n_coils, rows, columns = values.shape
    _check_patterns(values, path)
    # In a 3-D scan the middle of the first axis is the middle of the readout, where every phase encode has signal.
    acquired = sampling.analyse(values, None, None)
    notes = [note, "The file does not say how large a pixel is; 1 mm is assumed."]
    if acquired.note:
        notes.insert(0, acquired.note)
    if acquired.has_full_kspace:
        notes.append(reference.note(None))
    series = Series(
        path=path,
        title=path.stem,
        kind=kind,
        n_slices=n_slices,
        n_coils=n_coils,
        matrix=(rows, columns),
        recon_size=(rows, columns),
        source=KSpaceSource(path, view, (rows, columns), stamp, is_volume),
        has_reference=acquired.has_full_kspace,
        header=Header(),
        geometry=_unknown(),
        acquired_mask=acquired.acquired_mask,
        padding=acquired.padding,
        notes=tuple(notes),
        fingerprint=acquired.fingerprint,
    )
    return Study(path=path, title=series.title, series=(series,))


def _check_patterns(values: NDArray[Any], path: Path) -> None:
    """One mask serves all slices of a series, so they must have been sampled alike."""
    rows = values.shape[2]
    band = slice(max(rows // 2 - _BAND_ROWS // 2, 0), rows // 2 + _BAND_ROWS // 2)
    patterns = (_columns(values[index], band) for index in range(len(values)))
    # A slice of zeros says so when it is read; the ends of a readout may be empty.
    seen = [(index, pattern) for index, pattern in enumerate(patterns) if pattern.any()]
    for index, pattern in seen:
        if (pattern ^ seen[0][1]).sum() > sampling.MOST_EMPTY * (pattern | seen[0][1]).sum():
            raise FileError(
                path,
                f"slice {index} (counted from 0) was sampled at other phase encodes than slice {seen[0][0]}; one "
                "pattern for all slices was expected. Save slices of different patterns as files of their own.",
            )


def _columns(kspace: NDArray[Any], band: slice) -> NDArray[np.bool_]:
    """Columns of a slice that hold data in some rows of the first coil that measured anything there."""
    found = np.zeros(kspace.shape[-1], bool)
    for coil in kspace:
        found = (coil[band] != 0).any(axis=0)
        if found.any():
            break
    return found


def _unknown() -> Geometry:
    return Geometry(spacing_is_assumed=True, thickness_is_assumed=True)


# ---- NumPy ------------------------------------------------------------------------------------------------------


def _npy_kspace(path: Path) -> NDArray[Any]:
    values = npy.load(path, "k-space", _NPY_EXPECTED, is_mapped=True)
    return values.reshape((1,) * (4 - values.ndim) + values.shape)


def _images(path: Path) -> NDArray[Any]:
    values = npy.load(path, "images", _NPY_EXPECTED, is_mapped=True)
    return values[None] if values.ndim == 2 else values


def _values(values: NDArray[Any], index: int, path: Path) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        image = np.array(values[index], np.float32)
    if not np.isfinite(image).all():
        raise SliceError(path, index, "holds NaN or infinity; finite values were expected.")
    return image


def _simulated(path: Path, simulation: SimulationSpec | None) -> Study:
    from recon.simulate import SimulationSpec

    simulation = simulation or SimulationSpec()
    stamp = stamps.of(path)
    values = _images(path)
    n_slices, rows, columns = values.shape
    if min(rows, columns) < SMALLEST_SIDE:
        raise FileError(
            path, f"its images have {rows} × {columns} pixels; at least {SMALLEST_SIDE} × {SMALLEST_SIDE} are needed."
        )
    middle = _values(values, n_slices // 2, path)
    notes = [simulation.note, "The file does not say how large a pixel is; 1 mm is assumed."]
    if middle.min() < 0:
        notes.append("Values below 0 are taken as 0: k-space is simulated from magnitudes, which have none.")
    frames = tuple(Plane(path, number, (rows, columns), float(middle.max())) for number in range(n_slices))
    series = Series(
        path=path,
        title=path.stem,
        kind="images",
        n_slices=n_slices,
        n_coils=simulation.n_coils,
        matrix=(rows, columns),
        recon_size=(rows, columns),
        source=ImageSource(frames, simulation, stamp),
        has_reference=True,
        header=Header(source=f"magnitude images of {path.name}"),
        geometry=_unknown(),
        simulation=simulation,
        notes=tuple(notes),
        fingerprint=hashlib.sha256(middle.tobytes()).hexdigest(),
    )
    return Study(path=path, title=series.title, series=(series,))


# ---- BART -------------------------------------------------------------------------------------------------------


def _bart_shape(path: Path) -> tuple[int, ...]:
    """All dimensions of a pair, after everything that can be wrong with them."""
    shape = cfl.read_shape(path)
    shape = (*shape, *(1,) * (cfl.N_DIMENSIONS - len(shape)))
    known = (0, 1, 2, _COIL, _SLICE)
    other = [place for place, size in enumerate(shape) if size > 1 and place not in known]
    expected = "k-space of READ, PHS1, PHS2, COIL and SLICE was expected"
    if other:
        names = ", ".join(f"{_name(place)} ({shape[place]})" for place in other)
        raise FileError(path, f"has {names} besides coils and slices; {expected}. Take one, as `bart slice` does.")
    image = [size for size in shape[:3] if size > 1]
    if len(image) < 2:
        raise FileError(path, f"has dimensions {' '.join(map(str, shape))}; {expected}.")
    if len(image) == 3 and shape[_SLICE] > 1:
        raise FileError(path, f"has both PHS2 ({shape[2]}) and SLICE ({shape[_SLICE]}); {expected}, one of the two.")
    return shape


def _name(place: int) -> str:
    return _DIMENSIONS[place] if place < len(_DIMENSIONS) else f"dimension {place}"


def _bart_kspace(path: Path) -> NDArray[Any]:
    """The pair as ``(slices, coils, y, x)``; of a 3-D scan the first axis is the readout, still in k-space."""
    shape = _bart_shape(path)
    values = cfl.read(path).reshape(shape, order="F")
    first, second, third, coils, slices = shape[0], shape[1], shape[2], shape[_COIL], shape[_SLICE]
    if min(first, second, third) > 1:
        return values.reshape((first, second, third, coils), order="F").transpose(0, 3, 1, 2)
    rows, columns = [size for size in (first, second, third) if size > 1]
    return values.reshape((rows, columns, coils, slices), order="F").transpose(3, 2, 0, 1)
