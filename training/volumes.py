"""Magnitude volumes that training simulates k-space from: an HDF5 file of them, or a folder of images."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recon.data import Declined
from recon.errors import FileError, MRIError, RequestError, needs_package
from recon.export.atomic import atomic_file
from recon.io import IS_RESULT, RAW, folders, images, is_raw, misnamed, open_study, sniff
from training import subjects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from recon.data import Series, Study

# Volumes at least this cubic can be cut along any axis.
_ISOTROPIC_SHARE = 0.5
# Share of the volume's brightest voxels' level that a slice must reach somewhere to be worth training on.
_CONTENT = 0.02
# Masks and segmentations have fewer grey values, and no image has.
_FEW_LEVELS = 16
# Volumes of a folder are stored as integers with the 99.9th percentile at this value; twice that is the brightest.
_PEAK_LEVEL = 30000
_IS_RAW = "holds raw data, not images; raw data is named by `kspace`, not by `images`."
# Without a cache on disk, volumes are held in memory up to here.
_MAX_BYTES_IN_MEMORY = 8e9


@dataclass(frozen=True, eq=False)
class Volume:
    """A magnitude volume ``(slices, y, x)`` in its stored integer type, and the slices that show something."""

    name: str
    voxels: NDArray[Any]
    peak: float
    cuts: tuple[tuple[int, int], ...]
    """``(axis, index)`` of every slice with content."""
    subject: str = ""
    """Whom it shows; see `training.subjects`. Empty for a volume of an HDF5 file, which does not say."""

    def cut(self, axis: int, index: int) -> NDArray[np.float32]:
        """Return a slice as float32, 1 at the volume's 99.9th percentile."""
        plane = self.voxels[(slice(None),) * axis + (index,)]
        cut: NDArray[np.float32] = np.asarray(plane).astype(np.float32) / np.float32(self.peak)
        return cut


@dataclass(frozen=True, eq=False)
class FoundVolume:
    """A volume of a folder, before anything is kept of it.

    Attributes
    ----------
    name
        Its path inside the folder, with the title of the series where there are several.
    kind
        ``DICOM``, ``NIfTI``, ``NPY`` or ``picture``.
    part, subject
        See `training.subjects`.
    paths
        Its files.
    shape
        ``(slices, y, x)``.
    load
        Reads its slices, float32 ``(slices, y, x)``; blank ones are left out.
    probe
        Reads its middle slice alone, or more where that costs the same.
    """

    name: str
    kind: str
    part: str | None
    subject: str
    paths: tuple[Path, ...]
    shape: tuple[int, int, int]
    load: Callable[[], NDArray[np.float32]]
    probe: Callable[[], NDArray[np.float32]]

    def check(self, *, thoroughly: bool) -> None:
        """Read the middle slice, or all of them.

        Raises
        ------
        FileError
            If they cannot be read or show no image.
        """
        seen = self.load() if thoroughly else self.probe()
        if _has_few_levels(seen):
            _check_levels(self.load(), self.paths[0])


def read_volumes(path: Path | str, group: str) -> tuple[list[Volume], list[Declined]]:
    """Read the volumes of one group of a file of magnitude images.

    Returns
    -------
    The volumes, and what in the group cannot be used, by its place in the file.

    Raises
    ------
    FileError
        If the file or the group is not there or holds no volume that can be used.
    """
    import h5py

    path = Path(path)
    if not path.is_file():
        raise FileError(path, "there is no such file or folder; check the spelling.")
    volumes: list[Volume] = []
    declined: list[Declined] = []
    try:
        with h5py.File(path) as file:
            if group not in file:
                raise FileError(
                    path,
                    f"has no group {group!r}; a file of magnitude volumes has the groups train and validation. Of raw "
                    "data, the folder is named by `kspace`.",
                )
            for name, dataset in file[group].items():
                found = _stored_volume(name, dataset)
                if isinstance(found, Volume):
                    volumes.append(found)
                else:
                    declined.append(Declined(path / group / name, found))
    except OSError as error:
        raise FileError(path, f"cannot be read as HDF5 ({error}); expected a file of magnitude volumes.") from None
    if not volumes:
        why = f" that can be used ({declined[0].path.name} {declined[0].reason.rstrip('.')})" if declined else ""
        raise FileError(path, f"group {group!r} holds no (slices, y, x) volume{why}.")
    return volumes, declined


def _stored_volume(name: str, dataset: Any) -> Volume | str:
    """A volume of an HDF5 file, or why it is none that can be used."""
    if not hasattr(dataset, "ndim"):
        return "is a group, not a volume; (slices, y, x) was expected."
    if dataset.ndim != 3 or not dataset.size:
        return f"holds an array of shape {dataset.shape}; (slices, y, x) was expected."
    if dataset.dtype.kind not in "buif":
        return f"holds {dataset.dtype} values; magnitudes, which are real numbers, were expected."
    try:
        voxels = np.asarray(dataset)
    except OSError as error:
        return f"cannot be read ({error})."
    if not np.isfinite(voxels).all():
        return "holds NaN or infinity; finite values were expected."
    if voxels.max() <= 0:
        return "is empty: no value is above 0."
    volume = _volume(name, voxels)
    return volume if volume.cuts else "has no slice that shows anything."


def is_volume_file(path: Path) -> bool:
    """Return whether a file is HDF5 with the groups of `read_volumes`."""
    import h5py

    try:
        with h5py.File(path) as file:
            return {"train", "validation"} <= set(file)
    except (OSError, RuntimeError):
        return False


def read_folder(
    folder: Path, share: float, seed: int, cache: Path | None = None, limit_bytes: float = _MAX_BYTES_IN_MEMORY
) -> tuple[list[Volume], list[Volume], list[Declined], tuple[str, ...]]:
    """Read the images of a folder, split by subject.

    Parameters
    ----------
    folder
        Folder of images, with or without sub-folders for training and validation.
    share, seed
        How many subjects validate and which, where no sub-folder says so.
    cache
        Folder that keeps the volumes; they are then read from there when they are needed. None holds them in memory.
    limit_bytes
        Most that they may take, there or in memory.

    Returns
    -------
    Training volumes, validation volumes, what was left out, and notes on the folders.

    Raises
    ------
    FileError
        If there is nothing to train or to validate on.
    RequestError
        If the images do not fit into memory, or into the cache.
    """
    volumes, entries, declined = [], [], []
    n_bytes = 0
    for found in find_volumes(folder):
        if isinstance(found, Declined):
            declined.append(found)
            continue
        try:
            volume = _kept(found, cache)
        except FileError as error:
            declined.append(Declined(found.paths[0], error.problem))
            continue
        if not volume.cuts:
            declined.append(Declined(found.paths[0], "no slice of it shows anything."))
            continue
        n_bytes += volume.voxels.nbytes
        if n_bytes > limit_bytes:
            where = (
                "in memory; name a folder to keep them in (cache)" if cache is None else "in the cache; raise cache_gb"
            )
            raise RequestError(f"the images in {folder} need more than {limit_bytes / 1e9:.1f} GB {where}.")
        volumes.append(volume)
        entries.append((found.part, found.subject))
    if not volumes:
        raise FileError(folder, nothing(declined))
    sides = subjects.split(folder, entries, share, seed)
    declined += [Declined(Path(volumes[index].name), subjects.held_out(entries[index][1])) for index in sides.shared]
    training, validation = ([volumes[index] for index in side] for side in (sides.training, sides.validation))
    return training, validation, declined, sides.notes


def find_volumes(folder: Path) -> Iterator[FoundVolume | Declined]:
    """Yield the magnitude volumes of a folder tree, or of one file, and what cannot be used, such as earlier results.

    An NPY file is a volume, and so is each series of DICOM and NIfTI files: the time points of one scan are volumes of
    one subject. Pictures are one where they lie in one folder, have one size, and names that differ in a number at
    their end.

    Raises
    ------
    FileError
        If the folder cannot be read.
    """
    root = folder.parent if folder.is_file() else folder
    pictures: dict[tuple[Path, str], list[Path]] = {}
    has_dicom = False
    for path in list(folders.files(folder)):
        name = path.name.lower()
        if name.endswith(images.PICTURES):
            stem = re.sub(r"[-_. ]*(slice|image|img|im|z)?[-_. ]*\d+$", "", path.stem, flags=re.IGNORECASE)
            pictures.setdefault((path.parent, stem), []).append(path)
        elif name.endswith(images.ARRAYS):
            yield _attempt(root, [path], "NPY", subjects.subject_of(path, root))
        elif name.endswith(images.NIFTI):
            yield from _series(path, root, "NIfTI")
        else:
            try:
                content = sniff(path)
            except FileError as error:
                content, reason = "", error.problem
            else:
                reason = misnamed(path, content)
                if content in RAW:
                    reason = _IS_RAW
                if content == "hdf5" and not is_raw(path, content):
                    reason = f"{IS_RESULT}."
            if content == "npy":
                yield _attempt(root, [path], "NPY", subjects.subject_of(path, root))
            if content == "nifti":
                yield from _series(path, root, "NIfTI")
            if reason:
                yield Declined(path, reason)
            has_dicom = has_dicom or content == "dicom"
    for (parent, stem), paths in pictures.items():
        subject = subjects.subject_of(parent / f"{stem}.png" if stem else paths[0], root)
        yield _attempt(root, paths, "picture", subject)
    if has_dicom:
        yield from _series(folder, root, "DICOM")


def _attempt(root: Path, paths: list[Path], kind: str, subject: str) -> FoundVolume | Declined:
    try:
        found = [images.read_images(path) for path in paths]
    except MRIError as error:
        return Declined(Path(getattr(error, "path", paths[0])), getattr(error, "problem", str(error)))
    if any(one.is_result for one in found):
        return Declined(paths[0], f"{IS_RESULT}.")
    planes = [one.slices for one in found]
    if len({plane.shape[1:] for plane in planes}) > 1:
        return Declined(paths[0], "and its neighbours have different sizes; the slices of a volume have one.")
    name = str(paths[0].relative_to(root))
    slices = np.concatenate(planes)
    part = subjects.part_of(paths[0], root)
    return FoundVolume(name, kind, part, subject, tuple(paths), slices.shape, lambda: slices, lambda: slices)


def _series(path: Path, root: Path, kind: str) -> Iterator[FoundVolume | Declined]:
    """The series of a NIfTI file, or of the DICOM files of a folder."""
    try:
        study = _dicom(path) if kind == "DICOM" else open_study(path)
    except MRIError as error:
        yield Declined(path, getattr(error, "problem", str(error)))
        return
    yield from study.declined
    for series in study.series:
        paths = series.instances or (series.path,)
        first = paths[0]
        if series.is_result or series.has_kspace:
            yield Declined(first, f"(“{series.title}”) {IS_RESULT}." if series.is_result else _IS_RAW)
            continue
        name, title = str(first.relative_to(root)), series.title if kind == "DICOM" else series.part
        load = partial(_slices_of, series)
        source: Any = series.source
        yield FoundVolume(
            f"{name} ({title})" if title else name,
            kind,
            subjects.part_of(first, root),
            series.header.patient_id or subjects.subject_of(first, root),
            paths,
            (series.n_slices, *series.matrix),
            load,
            # A DICOM series may be many files; of a compressed NIfTI file one slice costs as much as all.
            partial(source.image, series.n_slices // 2) if kind == "DICOM" else load,
        )


def _dicom(folder: Path) -> Study:
    with needs_package():
        from recon.io import dicom

        return dicom.read(folder)


def _slices_of(series: Series) -> NDArray[np.float32]:
    return images.read_series(series).slices


def _has_few_levels(slices: NDArray[Any]) -> bool:
    """True for a mask or a segmentation; of an image, the first rows that are not blank have more grey values."""
    levels: set[Any] = set()
    for row in slices.reshape(-1, slices.shape[-1]):
        levels.update(row.tolist())
        if len(levels) >= _FEW_LEVELS:
            return False
    return True


def _check_levels(slices: NDArray[Any], path: Path) -> None:
    if _has_few_levels(slices):
        n_levels = len(np.unique(slices))
        raise FileError(path, f"has {n_levels} grey values: a mask or a segmentation, not an image.")


def is_cut_three_ways(shape: Sequence[int]) -> bool:
    """Return whether a volume of this shape gives slices along all of its axes."""
    return min(shape) >= _ISOTROPIC_SHARE * max(shape) * 0.9


def _volume(name: str, voxels: NDArray[Any], subject: str = "") -> Volume:
    peak = float(np.percentile(voxels[voxels > 0], 99.9))
    cuts = []
    for axis in (0, 1, 2) if is_cut_three_ways(voxels.shape) else (0,):
        others = tuple(other for other in range(3) if other != axis)
        share = (voxels > 0.15 * peak).mean(axis=others)
        cuts += [(axis, int(index)) for index in np.flatnonzero(share > _CONTENT)]
    return Volume(name, voxels, peak, tuple(cuts), subject)


def _kept(found: FoundVolume, cache: Path | None) -> Volume:
    """The volume as 16-bit integers, which lose nothing that shows; on disk where there is a cache."""
    path = None if cache is None else cache / "volumes" / f"{_identity(found)}.npy"
    kept = None if path is None else _mapped(path)
    if kept is not None:
        _check_levels(kept, found.paths[0])
        return _volume(found.name, kept, found.subject)
    slices = found.load()
    _check_levels(slices, found.paths[0])
    peak = float(np.percentile(slices[slices > 0], 99.9))
    voxels = np.rint(np.clip(slices * (_PEAK_LEVEL / peak), 0, 2 * _PEAK_LEVEL)).astype(np.uint16)
    if path is None:
        return _volume(found.name, voxels, found.subject)
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        np.save(file, voxels)
    return _volume(found.name, np.load(path, mmap_mode="r"), found.subject)


def _mapped(path: Path) -> NDArray[Any] | None:
    """Map a volume of the cache into memory; None where there is none, or a damaged one that is to be made anew."""
    try:
        voxels = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception:  # noqa: BLE001  headers are Python to NumPy, and damaged bytes can raise anything
        return None
    is_volume = isinstance(voxels, np.ndarray) and voxels.ndim == 3 and voxels.dtype == np.uint16 and voxels.any()
    return voxels if is_volume else None


def _identity(found: FoundVolume) -> str:
    facts = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in found.paths]
    return hashlib.sha256(json.dumps([_PEAK_LEVEL, found.name, facts]).encode()).hexdigest()[:32]


def nothing(declined: list[Declined]) -> str:
    """Return the sentence about a folder of which no image can train."""
    expected = "a folder of DICOM, NIfTI, NPY or PNG images was expected."
    if not declined:
        return f"holds no image; {expected}"
    first = declined[0]
    return f"holds no image that can be used ({first.path.name} {first.reason.rstrip('.')}); {expected}"
