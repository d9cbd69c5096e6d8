"""NIfTI volumes in, one slice at a time; k-space is simulated from their magnitude images.

A slice is shown as a scanner's DICOM images are: rows run to the patient's left (sagittal: back), columns to the back
(sagittal and coronal: feet). Voxels are turned so when they are read, and the geometry says where they lie.

References
----------
NIfTI-1 data format: voxels are counted from 0 and their affine leads to right, anterior, superior; DICOM counts left,
posterior and superior as positive.
"""

from __future__ import annotations

import hashlib
import logging
import math
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recon.data import Declined, Geometry, Header, Series, Study, stem_of
from recon.errors import FileError, needs_package
from recon.io import stamps
from recon.io.simulated import RESULT_NOTE, SMALLEST_SIDE, Plane, SimulatedSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from recon.simulate import SimulationSpec

ENDINGS = (".nii", ".nii.gz")


MAX_VOLUMES = 64
"""So many volumes of one file are opened: more would bury the rest of a study."""
# What lies outside is no size of a voxel.
_SMALLEST_MM, _LARGEST_MM = 1e-3, 1e3
# gzip cannot shrink data further than about 1 : 1032, so a header that announces more is not that of its file.
_MAX_COMPRESSION = 1100
# Of a compressed file, the volume that was read last is kept up to this size.
_MOST_KEPT_BYTES = 1 << 28
# Codes of the unit of length: metres and micrometres; all others are taken as millimetres.
_MM = {1: 1000.0, 3: 1e-3}
_RAS_TO_LPS = np.array([-1.0, -1.0, 1.0])
# Directions count as at right angles within this.
_TOLERANCE = 0.02


@dataclass(frozen=True)
class Turn:
    """How the first two axes of a volume become the rows and columns of a picture.

    Attributes
    ----------
    is_transposed
        True where the first axis runs along the rows from top to bottom; usually it is the second.
    flips_rows, flips_columns
        True where the picture counts the other way than the file.
    """

    is_transposed: bool
    flips_rows: bool
    flips_columns: bool

    def __call__(self, plane: NDArray[Any]) -> NDArray[Any]:
        """Turn ``(i, j)`` of the file to ``(y, x)``."""
        picture = plane if self.is_transposed else plane.T
        return picture[:: -1 if self.flips_rows else 1, :: -1 if self.flips_columns else 1]


class NiftiSource(SimulatedSource):
    """Reads the slices of one volume; the file is open only during a call."""

    frames: tuple[Plane, ...]

    def __init__(
        self, frames: tuple[Plane, ...], simulation: SimulationSpec, turn: Turn, files: Mapping[Path, stamps.Stamp]
    ) -> None:
        super().__init__(frames, simulation)
        self._turn, self._files = turn, files

    def image(self, index: int) -> NDArray[np.float32]:
        """Return the magnitude ``(y, x)`` of a slice."""
        frame = self.frames[index]
        image = self._opened()
        if _is_kept(image, frame.path):
            return self._picture(_unpacked(tuple(self._files.items()), frame.volume)[..., frame.number], frame)
        return self._picture(_magnitudes(image, frame.path, frame.number, frame.volume), frame)

    def volume(self) -> NDArray[np.float32]:
        """Return all magnitudes ``(slices, y, x)``; of a compressed file, slice by slice would take for ever."""
        first = self.frames[0]
        voxels = _volume(self._opened(), first.path, first.volume)
        return np.stack([self._picture(voxels[..., one.number], one) for one in self.frames])

    def _opened(self) -> Any:
        image = _load(self.frames[0].path)
        for file, stamp in self._files.items():
            if file.exists():  # whoever reads one that is gone says so
                stamps.check(file, stamp)
        return image

    def _picture(self, plane: NDArray[np.float32], frame: Plane) -> NDArray[np.float32]:
        picture: NDArray[np.float32] = self._turn(_finite(plane, frame.path, frame.number))
        if picture.shape != frame.size:
            raise FileError(frame.path, "was changed since it was opened; open it again.")
        return np.ascontiguousarray(np.maximum(picture, 0))


def read(path: Path, simulation: SimulationSpec | None = None) -> Study:
    """Open a NIfTI file as a study of one series for each of its volumes.

    Parameters
    ----------
    path
        The file, ``.nii`` or ``.nii.gz``, or the header of a pair.
    simulation
        How k-space is made from the images; None takes the defaults.

    Raises
    ------
    FileError
        If it is damaged, or holds no grey volume.
    MissingPackageError
        If nibabel is not installed.
    """
    from recon.simulate import SimulationSpec

    simulation = simulation or SimulationSpec()
    stamp = stamps.of(path)
    image = _load(path)
    shape, n_volumes = _shape(image, path)
    data = _data_of(image, path)
    files = {path: stamp} if data == path else {path: stamp, data: stamps.of(data)}
    notes = [simulation.note]
    with np.errstate(all="ignore"):  # sizes that are none are found and named
        geometry, turn, numbers = _geometry(image, _raw_header(path), shape, notes)
    title, width = stem_of(path), len(str(n_volumes))
    # Only of the first volume: in a compressed file what comes later takes seconds to reach.
    middle = _finite(_magnitudes(image, path, shape[2] // 2, 0), path, shape[2] // 2)
    (rows, columns), maximum = turn(middle).shape, float(middle.max())
    shown = np.ascontiguousarray(middle).tobytes()
    if middle.min() < 0:
        notes.append("Values below 0 are taken as 0: k-space is simulated from magnitudes, which have none.")
    is_result = _is_result(image)
    if is_result:
        notes.append(RESULT_NOTE)
    series = []
    for volume in range(min(n_volumes, MAX_VOLUMES)):
        frames = tuple(Plane(path, number, (rows, columns), maximum, volume) for number in numbers)
        part = f"volume {volume + 1:0{width}d} of {n_volumes}" if n_volumes > 1 else ""
        series.append(
            Series(
                path=path,
                title=" · ".join(filter(None, (title, part))),
                kind="nifti",
                n_slices=shape[2],
                n_coils=simulation.n_coils,
                matrix=(rows, columns),
                recon_size=(rows, columns),
                source=NiftiSource(frames, simulation, turn, files),
                has_reference=True,
                header=Header(source=f"magnitude images of {path.name}"),
                geometry=geometry,
                simulation=simulation,
                notes=tuple(notes),
                fingerprint=hashlib.sha256(shown + str(volume).encode()).hexdigest(),
                part=part,
                file_fingerprint=hashlib.sha256(shown).hexdigest() if part else "",
                is_result=is_result,
            )
        )
    rest = f"has {n_volumes} volumes, of which the first {MAX_VOLUMES} are opened; extract others, as `fslroi` does."
    declined = (Declined(path, rest),) if n_volumes > MAX_VOLUMES else ()
    return Study(path=path, title=title, series=tuple(series), declined=declined)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What nibabel stumbles over becomes one sentence; what it remarks on stays unsaid, since nobody can mend it."""
    with needs_package():
        from nibabel.filebasedimages import ImageFileError
        from nibabel.spatialimages import HeaderDataError
        from nibabel.wrapstruct import WrapStructError
    remarks = logging.getLogger("nibabel.global")
    remarks.handlers, remarks.propagate = [logging.NullHandler()], False
    try:
        with np.errstate(all="ignore"):
            yield
    except FileNotFoundError as error:
        missing = Path(error.filename) if error.filename else path
        if missing.name == path.name:
            raise stamps.unreadable(path, error) from None
        raise FileError(path, f"cannot be read: {missing.name} is not there; bring it back beside the other.") from None
    except (
        ImageFileError,
        HeaderDataError,
        WrapStructError,
        OSError,
        EOFError,
        ValueError,
        ArithmeticError,
        TypeError,
        LookupError,
        zlib.error,
    ) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise FileError(path, f"is a damaged NIfTI file ({reason}); copy or download it again.") from None


def _load(path: Path) -> Any:
    with _told(path):
        import nibabel

        # By the header, and nothing else: by the name, nibabel also parses the XML that CIFTI files carry.
        raw = _raw_header(path)
        is_second, is_pair = type(raw).sizeof_hdr == nibabel.Nifti2Header.sizeof_hdr, path.suffix.lower() == ".hdr"
        classes = (nibabel.Nifti1Image, nibabel.Nifti1Pair, nibabel.Nifti2Image, nibabel.Nifti2Pair)
        return classes[2 * is_second + is_pair].from_filename(path)


def _data_of(image: Any, path: Path) -> Path:
    """The file of the voxels: of a pair, the other one."""
    return Path(image.file_map["image"].filename or path)


def _raw_header(path: Path) -> Any:
    """The header as it stands in the file, before nibabel mends it."""
    import nibabel
    from nibabel.openers import ImageOpener

    with ImageOpener(str(path)) as file:
        head = file.read(nibabel.Nifti2Header.sizeof_hdr)
    kind: Any = nibabel.Nifti2Header if head[4:8] in (b"n+2\0", b"ni2\0") else nibabel.Nifti1Header
    return kind(head[: kind.sizeof_hdr], check=False)


def _where(image: Any, number: int | slice, volume: int) -> tuple[int | slice, ...]:
    """Index of a slice, or of all, of one volume; of more than four axes no other than one is longer than 1."""
    where = (slice(None), slice(None), number, *(volume if size > 1 else 0 for size in image.shape[3:]))
    return where[: len(image.shape)]


def _magnitudes(image: Any, path: Path, number: int | slice, volume: int) -> NDArray[np.float32]:
    """Values ``(i, j)`` of one slice of the file, or of all ``(i, j, k)``, as they lie there; magnitudes of complex."""
    with _told(path):
        values = np.asarray(image.dataobj[_where(image, number, volume)])
        return np.asarray(np.abs(values) if values.dtype.kind == "c" else values, np.float32)


def _volume(image: Any, path: Path, volume: int) -> NDArray[np.float32]:
    voxels = _magnitudes(image, path, slice(None), volume)
    return voxels.reshape((*voxels.shape, 1)[:3])


def _is_kept(image: Any, path: Path) -> bool:
    """True where all before a slice has to be unpacked to reach it, and its volume is of a size to be kept."""
    n_bytes = math.prod(image.shape[:3]) * np.dtype(np.float32).itemsize
    return _is_compressed(_data_of(image, path)) and n_bytes <= _MOST_KEPT_BYTES


@lru_cache(maxsize=1)
def _unpacked(files: tuple[tuple[Path, stamps.Stamp], ...], volume: int) -> NDArray[np.float32]:
    """One volume of a compressed file in this state of it, kept for the slices that are read next."""
    path, _ = files[0]
    return _volume(_load(path), path, volume)


def _is_compressed(data: Path) -> bool:
    return data.name.lower().endswith((".gz", ".bz2", ".zst"))


def _finite(plane: NDArray[np.float32], path: Path, number: int) -> NDArray[np.float32]:
    if not np.isfinite(plane).all():  # what overflowed is found and named here
        raise FileError(
            path,
            f"slice {number} of the file (counted from 0) holds NaN or infinity; finite values were expected. Mend the "
            "file.",
        )
    return plane


def _is_result(image: Any) -> bool:
    """True for a volume that this program exported."""
    described = bytes(image.header["descrip"].tobytes()) if "descrip" in image.header else b""
    return described.rstrip(b"\0").endswith(b"research use only")


def _shape(image: Any, path: Path) -> tuple[tuple[int, int, int], int]:
    """Numbers of voxels along the three axes and of volumes, after everything that can be wrong unread."""
    shape = tuple(int(size) for size in getattr(image, "shape", ()))
    dtype = image.get_data_dtype()
    if dtype.kind not in "buifc" or (len(shape) > 4 and math.prod(shape[4:]) > 1):
        raise FileError(path, "holds colours or vectors; one grey value for each voxel was expected.")
    if len(shape) < 2 or 0 in shape:
        raise FileError(path, f"holds an array of shape {shape}; a volume (x, y, slices) was expected.")
    n_volumes = math.prod(shape[3:])
    i, j, k = (*shape, 1)[:3]
    if min(i, j) < SMALLEST_SIDE:
        raise FileError(
            path, f"its images have {j} × {i} pixels; at least {SMALLEST_SIDE} × {SMALLEST_SIDE} are needed."
        )
    data = _data_of(image, path)
    with _told(path):
        stored = data.stat().st_size
    n_bytes = i * j * k * n_volumes * dtype.itemsize
    if stored * (_MAX_COMPRESSION if _is_compressed(data) else 1) < n_bytes:
        raise FileError(
            path,
            f"announces {n_bytes:,} bytes of voxels, and {data.name} has {stored:,}; the file was cut off. Copy or "
            "download it again.",
        )
    return (i, j, k), n_volumes


def _geometry(image: Any, raw: Any, shape: tuple[int, int, int], notes: list[str]) -> tuple[Geometry, Turn, list[int]]:
    """Where the picture lies, how a plane is turned to it, and the planes from the first slice to the last."""
    header = image.header
    unit = int(header["xyzt_units"]) % 8 if "xyzt_units" in header else 0
    affine = np.array(image.affine, np.float64)[:3] * _MM.get(unit, 1.0)
    steps, origin = affine[:, :3] * _RAS_TO_LPS[:, None], affine[:, 3] * _RAS_TO_LPS
    sizes_mm = np.linalg.norm(steps, axis=0)
    says_size = bool(np.isfinite(affine).all() and (sizes_mm > _SMALLEST_MM).all() and (sizes_mm < _LARGEST_MM).all())
    if not _says_place(header):
        says_size = says_size and bool((np.abs(raw["pixdim"][1:4]) > 0).all())
    is_placed = says_size and _says_place(header)
    if not says_size:
        notes.append("The file does not say how large a voxel is, or nothing that could be; 1 mm is assumed.")
        steps, origin, sizes_mm = np.diag([-1.0, -1.0, 1.0]), np.zeros(3), np.ones(3)
    directions = steps / sizes_mm
    if is_placed and np.abs(directions.T @ directions - np.eye(3)).max() > _TOLERANCE:
        is_placed = False
        notes.append("The file's axes are not at right angles: where its slices lie in the patient is not taken over.")
    elif not is_placed:
        notes.append("The file does not say where the slices lie in the patient; which side is which is unknown.")
    turn = _turn(directions)
    along_rows, along_columns = (1, 0) if turn.is_transposed else (0, 1)
    row, column = directions[:, along_rows], directions[:, along_columns]
    corner = origin.copy()
    if turn.flips_columns:
        corner += steps[:, along_rows] * (shape[along_rows] - 1)
        row = -row
    if turn.flips_rows:
        corner += steps[:, along_columns] * (shape[along_columns] - 1)
        column = -column
    numbers = list(range(shape[2]))
    if np.cross(row, column) @ directions[:, 2] < 0:
        numbers.reverse()
    geometry = Geometry(
        pixel_spacing_mm=(float(sizes_mm[along_columns]), float(sizes_mm[along_rows])),
        slice_thickness_mm=float(sizes_mm[2]),
        is_synthetic=not is_placed,
        spacing_is_assumed=not says_size,
        thickness_is_assumed=not says_size,
    )
    if not is_placed:
        return geometry, turn, numbers
    column = column - row * (row @ column)
    column /= np.linalg.norm(column)
    x, y, z = (float(value) + 0.0 for value in row)
    places = [corner + steps[:, 2] * number for number in numbers]
    placed = Geometry(
        pixel_spacing_mm=geometry.pixel_spacing_mm,
        slice_thickness_mm=geometry.slice_thickness_mm,
        orientation=(x, y, z, *(float(value) + 0.0 for value in column)),  # type: ignore[arg-type]
        positions_mm=tuple((float(place[0]), float(place[1]), float(place[2])) for place in places),
        is_synthetic=False,
    )
    return placed, turn, numbers


def _says_place(header: Any) -> bool:
    """True where one of the two transforms of the header is set."""
    codes = [int(header[name]) for name in ("qform_code", "sform_code") if name in header]
    return any(code > 0 for code in codes)


def _turn(directions: NDArray[np.float64]) -> Turn:
    """How a plane is turned to stand as radiologists look at it; ``directions`` (LPS, axis of the file)."""
    plane = int(np.argmax(np.abs(directions[:, 2])))
    # Sagittal, coronal, axial: rows run to the left or to the back, columns to the back or to the feet.
    right = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])[plane]
    down = np.array([[0.0, 0.0, -1.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])[plane]
    is_transposed = abs(right @ directions[:, 1]) > abs(right @ directions[:, 0])
    along_rows, along_columns = (1, 0) if is_transposed else (0, 1)
    return Turn(
        is_transposed=bool(is_transposed),
        flips_rows=bool(down @ directions[:, along_columns] < 0),
        flips_columns=bool(right @ directions[:, along_rows] < 0),
    )
