"""Study > Series > KSpaceSlice: what was scanned. Frozen, and read one slice at a time.

Nothing here reads files; the readers in ``recon.io`` fill a Series with a `SliceSource` that does.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from recon.errors import FileError, RequestError
from recon.values import whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from recon.simulate import SimulationSpec

Kind = Literal["fastmri", "ismrmrd", "bart", "numpy", "dicom", "nifti", "images"]

# Squares of smaller values are below what single precision can tell from zero.
_SMALLEST = 1e-18
_OF_IMAGES = ("dicom", "nifti", "images")
# Disks take 255 bytes, of which the model, a number and the ending of a temporary file are some.
_MOST_NAME_BYTES = 160
_ENDINGS = (".h5", ".hdf5", ".mrd", ".cfl", ".npy", ".nii.gz", ".nii", ".hdr", ".dcm", ".dicom", ".ima")


@dataclass(frozen=True)
class Geometry:
    """Where the image pixels lie in the patient.

    Attributes
    ----------
    pixel_spacing_mm
        Distance between rows, then between columns (DICOM order).
    slice_thickness_mm
        Thickness of a slice.
    orientation
        DICOM ImageOrientationPatient: direction of a row, then direction of a column.
    positions_mm
        DICOM ImagePositionPatient of each slice.
    is_synthetic
        True where the file does not say where the slices lie and plausible places stand in.
    flip_rows
        True where row 0 is the bottom of the picture, as in fastMRI files. Views and DICOM flip, data never.
    spacing_is_assumed, thickness_is_assumed
        True where the file does not say how large a pixel, or how thick a slice is.
    """

    pixel_spacing_mm: tuple[float, float] = (1.0, 1.0)
    slice_thickness_mm: float = 5.0
    orientation: tuple[float, float, float, float, float, float] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    positions_mm: tuple[tuple[float, float, float], ...] = ()
    is_synthetic: bool = True
    flip_rows: bool = False
    spacing_is_assumed: bool = False
    thickness_is_assumed: bool = False


@dataclass(frozen=True)
class Header:
    """What the scanner said about the scan. ``None`` where it did not.

    Units are in the names. ``extra`` holds everything else, as text, in the order in which it should be shown.
    """

    acquisition: str | None = None
    protocol: str | None = None
    sequence_type: str | None = None
    vendor: str | None = None
    scanner: str | None = None
    institution: str | None = None
    field_strength_t: float | None = None
    frequency_hz: float | None = None
    repetition_time_ms: float | None = None
    echo_time_ms: float | None = None
    inversion_time_ms: float | None = None
    flip_angle_deg: float | None = None
    echo_train_length: int | None = None
    patient_position: str | None = None
    patient_id: str | None = None
    encoded_matrix: tuple[int, int, int] | None = None
    recon_matrix: tuple[int, int, int] | None = None
    encoded_fov_mm: tuple[float, float, float] | None = None
    recon_fov_mm: tuple[float, float, float] | None = None
    source: str | None = None
    licence: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class KSpaceSlice:
    """The raw data of one slice.

    Attributes
    ----------
    index
        Slice in its series.
    kspace
        complex64 tensor ``(coil, y, x)``, centred, phase encodes along x.
    reference
        float32 tensor ``(y, x)``, the fully sampled magnitude image, or None.
    acquired_mask
        bool array ``(1, x)`` or ``(y, x)`` of the samples that the scanner took; None when it took all of them.
    """

    index: int
    kspace: Any
    reference: Any | None
    acquired_mask: NDArray[np.bool_] | None


class SliceSource(Protocol):
    """Reads one slice of one series; opened for each call, so that a series holds no file open."""

    def kspace(self, index: int) -> NDArray[np.complex64]:
        """Return k-space ``(coil, y, x)`` of a slice."""
        ...

    def reference(self, index: int) -> NDArray[np.float32] | None:
        """Return the reference magnitude ``(y, x)`` of a slice, or None."""
        ...


class LazyReference:
    """The reference volume of a series ``(slices, y, x)``; behaves as an array, reads a slice when asked for it."""

    dtype = np.dtype(np.float32)
    ndim = 3

    def __init__(self, series: Series) -> None:
        self._series = series
        self.shape = (series.n_slices, *series.recon_size)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        if isinstance(key, (int, np.integer)):
            return self._read(int(key))
        if isinstance(key, tuple) and key and isinstance(key[0], (int, np.integer)):
            return self._read(int(key[0]))[key[1:]]
        part: NDArray[np.float32] = np.asarray(self)[key]
        return part

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        volume = np.stack([self._read(index) for index in range(len(self))])
        return np.asarray(volume, dtype)

    def _read(self, index: int) -> NDArray[np.float32]:
        index = self._series.check_index(index)
        image = self._series.source.reference(index)
        assert image is not None  # a series makes a LazyReference only when its source has references
        cropped: NDArray[np.float32] = centre_crop(np.asarray(image, np.float32), self._series.recon_size)
        return cropped


@dataclass(frozen=True, eq=False)
class Series:
    """One scan: slices of equal shape that share a header.

    Attributes
    ----------
    path
        File or folder that it came from.
    title
        What the study browser shows.
    kind
        Which reader made it.
    n_slices, n_coils, matrix
        Shape of the k-space: slices, coils, ``(y, x)``.
    recon_size
        ``(y, x)`` of the image that a user wants to see; at most ``matrix``.
    source
        Reads slices.
    has_reference
        True when a fully sampled image exists.
    acquired_mask
        Samples that the scanner took, ``(1, x)`` or ``(y, x)``; None when it took all of them.
    padding
        First and one-past-last acquired column of zero-padded k-space; None when all columns were acquired.
    simulation
        How the k-space was simulated; None for measured k-space.
    instances
        DICOM files behind the slices, in slice order (one file for all slices of a multi-frame object).
    notes
        Sentences that the user must see, such as that the k-space is simulated.
    noise
        Noise of the coils, complex64 ``(coil, sample)``, measured without signal; None where the file has none.
    fingerprint
        Hash of some of the raw data, which tells it from data of the same name and header; for DICOM, of the names that
        its images have of their own.
    part
        Which scan of its file it is, such as ``contrast 2``; empty where the file holds one.
    file_fingerprint
        Hash of raw data that the scans of a file share: they are one patient's, and lie in one frame of reference.
    is_result
        True for images that this program exported: a reconstruction, not a measured image.
    """

    path: Path
    title: str
    kind: Kind
    n_slices: int
    n_coils: int
    matrix: tuple[int, int]
    recon_size: tuple[int, int]
    source: SliceSource
    has_reference: bool
    header: Header = field(default_factory=Header)
    geometry: Geometry = field(default_factory=Geometry)
    acquired_mask: NDArray[np.bool_] | None = None
    padding: tuple[int, int] | None = None
    simulation: SimulationSpec | None = None
    instances: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    noise: NDArray[np.complex64] | None = None
    fingerprint: str = ""
    part: str = ""
    file_fingerprint: str = ""
    is_result: bool = False

    @property
    def has_kspace(self) -> bool:
        """True when the file holds k-space, False when it is simulated from the file's images as they are read."""
        return self.kind not in _OF_IMAGES

    @property
    def is_simulated(self) -> bool:
        """True when the k-space is simulated; every result has to say so."""
        return self.simulation is not None

    @property
    def name(self) -> str:
        """File name, extension included: what a mask seeded by file name is seeded with."""
        return self.path.name

    @property
    def stem(self) -> str:
        """Name for output files: the file name without the ending of its format, and which scan of the file it is."""
        name = stem_of(self.path)
        part = re.sub(r"[^\w.]+", "-", self.part).strip("-")
        return shortened(f"{name}.{part}" if part else name)

    @property
    def reference(self) -> LazyReference | None:
        """The reference volume, read slice by slice, or None."""
        return LazyReference(self) if self.has_reference else None

    def check_index(self, index: int) -> int:
        """Return a valid slice index (negative ones count from the end).

        Raises
        ------
        RequestError
            If there is no such slice.
        """
        index = whole(index, "a slice")
        if not -self.n_slices <= index < self.n_slices:
            raise RequestError(f"{self.name} has slices 0 to {self.n_slices - 1}; slice {index} does not exist.")
        return index % self.n_slices

    def read(self, index: int) -> KSpaceSlice:
        """Read one slice from disk.

        Raises
        ------
        FileError
            If the slice cannot be read, or its k-space holds NaN, infinity or nothing but zeros.
        """
        import torch

        from recon.io.check import check_kspace

        index = self.check_index(index)
        kspace = check_kspace(self.source.kspace(index), self, index)
        reference = self.reference
        return KSpaceSlice(
            index=index,
            kspace=torch.from_numpy(kspace),
            reference=None if reference is None else torch.from_numpy(np.ascontiguousarray(reference[index])),
            acquired_mask=self.acquired_mask,
        )


def shortened(name: str) -> str:
    """Return a name that leaves room for what outputs add to it; two long ones that differ stay two."""
    if len(name.encode()) <= _MOST_NAME_BYTES:
        return name
    sign = hashlib.sha256(name.encode()).hexdigest()[:8]
    return name.encode()[: _MOST_NAME_BYTES - len(sign) - 1].decode("utf-8", "ignore") + f"-{sign}"


def stem_of(path: Path) -> str:
    """Return the name of a file without the ending of its format, of which ``.nii.gz`` is one."""
    # A folder or a file named after a UID has dots, but no ending to take off.
    ending = next((ending for ending in _ENDINGS if path.name.lower().endswith(ending)), "")
    return path.name[: len(path.name) - len(ending)] or path.name


@dataclass(frozen=True)
class Declined:
    """A file that was recognised or tried, and not opened."""

    path: Path
    reason: str


@dataclass(frozen=True, eq=False)
class Study:
    """What one file or folder holds."""

    path: Path
    title: str
    series: tuple[Series, ...]
    declined: tuple[Declined, ...] = ()


def centre_crop(image: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Crop the centre of the last two axes, as fastMRI's ``center_crop`` does; an axis that is smaller stays.

    Parameters
    ----------
    image
        Array ``(*batch, y, x)``.
    size
        Wanted ``(y, x)``.
    """
    rows, columns = (min(want, have) for want, have in zip(size, image.shape[-2:], strict=True))
    top, left = (image.shape[-2] - rows) // 2, (image.shape[-1] - columns) // 2
    return image[..., top : top + rows, left : left + columns]


def check_scale(series: Series, indices: Iterable[int]) -> None:
    """Explain images that came out empty though there is k-space; nothing happens where its scale is not the reason.

    Raises
    ------
    FileError
        If the largest value of the k-space is too small for the arithmetic of images.
    """
    check_largest(
        series, max((float(np.abs(series.read(index).kspace.numpy()).max()) for index in indices), default=0.0)
    )


def check_largest(series: Series, largest: float) -> None:
    """Refuse a largest magnitude of the k-space that is too small for the arithmetic of images; see `check_scale`."""
    if 0 < largest < _SMALLEST:
        raise FileError(
            series.path,
            f"the largest value of its k-space is {largest:.1e}, so small that its image underflows to zero; the "
            "file's scale is off. Export the raw data again, or multiply it to values around 1.",
        )
