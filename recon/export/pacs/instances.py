"""The DICOM instances in files and folders: what a PACS is told of each before it is sent, found without its pixels.

A damaged file is found here, by its header and its length, and not by whoever would have to store half an image.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recon import interruption
from recon.errors import FileError, needs_package
from recon.io import folders
from recon.io.dicom.frame import BROKEN, is_dicom

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from pydicom.dataset import Dataset

_DIRECTORY = "1.2.840.10008.1.3.10"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_UNDEFINED_LENGTH = 0xFFFFFFFF
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData", "PixelDataProviderURL")
# Values that are longer stay on the disk: of a file of a gigabyte a few kilobytes are read.
_LARGEST_VALUE = 128


@dataclass(frozen=True)
class Instance:
    """A file, and what it is called on the network.

    Attributes
    ----------
    path
        The file.
    sop_class_uid, sop_instance_uid, transfer_syntax_uid
        What it holds, its identity, and how it is coded.
    n_bytes
        Its length.
    is_consistent
        False where the file header names another object than the data set, as anonymisers leave it; the latter counts.
    """

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    n_bytes: int
    is_consistent: bool = True


@dataclass(frozen=True)
class Findings:
    """What files and folders hold.

    Attributes
    ----------
    instances
        In the order of the paths and names.
    damaged
        DICOM files that cannot be sent, and why.
    n_others
        How many other files were passed over, such as the records beside exported series.
    """

    instances: tuple[Instance, ...]
    damaged: tuple[FileError, ...] = ()
    n_others: int = 0


def _ignore(_path: Path) -> None:
    """Nobody watches."""


@needs_package()
def find(paths: Iterable[Path], look: Callable[[Path], None] = _ignore) -> Findings:
    """Find what can be sent; a file that several paths lead to counts once.

    Parameters
    ----------
    paths
        DICOM files, folders of series, or folders that hold such folders.
    look
        Called with each file before it is looked at.

    Raises
    ------
    FileError
        If a path is not there or cannot be read, or there is nothing to send.
    MissingPackageError
        If pydicom is not installed.
    """
    paths = list(paths)
    instances: list[Instance] = []
    damaged: list[FileError] = []
    n_others = 0
    files: dict[str, Path] = {}
    for file in (one for path in paths for one in _files(path)):
        files.setdefault(os.path.realpath(file), file)
    for file in files.values():
        interruption.check()
        look(file)
        try:
            found = _read(file)
        except FileError as error:
            damaged.append(error)
            continue
        if found is None:
            n_others += 1
        else:
            instances.append(found)
    if not instances:
        raise _nothing(paths, damaged, n_others)
    return Findings(tuple(instances), tuple(damaged), n_others)


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from folders.files(path)
    elif path.exists():
        yield path
    else:
        raise FileError(path, "there is no such file or folder; give DICOM files, or folders of them.")


def _nothing(paths: list[Path], damaged: list[FileError], n_others: int) -> FileError:
    where = ", ".join(map(str, paths))
    if damaged:
        more = f" (and {len(damaged) - 1} more)" if len(damaged) > 1 else ""
        return FileError(where, f"holds no DICOM file that can be sent: {damaged[0]}{more}")
    others = f"; {n_others} other file{'s' if n_others != 1 else ''} passed over" if n_others else ""
    return FileError(
        where, f"holds no DICOM file to send{others}. Write one with `reconstruct` or `export` and --format dicom."
    )


def _read(path: Path) -> Instance | None:
    """What a file holds; None where it is no DICOM instance.

    Raises
    ------
    FileError
        If it is one and cannot be sent.
    """
    from pydicom import dcmread

    try:
        path.open("rb").close()
        if not is_dicom(path):
            return None
        with warnings.catch_warnings(record=True) as remarks:
            warnings.simplefilter("always")
            dataset = dcmread(path, force=True, defer_size=_LARGEST_VALUE)
            return _instance(path, dataset, path.stat().st_size, [str(remark.message) for remark in remarks])
    except MemoryError:
        raise FileError(path, "is damaged: it claims to hold more than fits into memory. Copy it again.") from None
    except BROKEN as error:
        # The parser raises OSError too, but without a number of the system.
        if isinstance(error, OSError) and error.errno is not None:
            raise FileError(path, f"cannot be read ({error.strerror}); change its permissions, or copy it.") from error
        raise FileError(path, f"is a damaged DICOM file ({error}); copy or export it again.") from error


def _instance(path: Path, dataset: Dataset, n_bytes: int, remarks: list[str]) -> Instance | None:
    from pydicom.uid import UID

    meta = dataset.file_meta
    stated = [str(meta.get(name, "")) for name in ("MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID")]
    uids = [str(dataset.get(name, "")) for name in ("SOPClassUID", "SOPInstanceUID")]
    syntax = str(meta.get("TransferSyntaxUID", ""))
    if stated[0] == _DIRECTORY:
        return None
    if not dataset.preamble or not syntax:
        raise FileError(path, "lacks the DICOM file header, which says how it is coded; export it again.")
    is_cut_off = any("end of file" in remark.lower() for remark in remarks)
    # A deflated data set is counted in bytes that are not in the file; unpacking it finds out.
    if is_cut_off or (syntax != _DEFLATED and _end(dataset) > n_bytes):
        raise FileError(path, "is cut off: it ends before its last element does. Copy or export it again.")
    if not all(uids) or not all(UID(one).is_valid for one in (uids[0], syntax)):
        raise FileError(path, "is damaged: it does not say which object it is (SOP class and instance). Copy it again.")
    if UID(uids[0]).name.endswith("Image Storage") and not any(name in dataset for name in _PIXELS):
        raise FileError(path, "is an image without pixels, or cut off in front of them. Copy or export it again.")
    return Instance(path, uids[0], uids[1], syntax, n_bytes, stated == uids)


def _end(dataset: Dataset) -> int:
    """Where the last element that knows its length ends, as the file says."""
    from pydicom.dataelem import RawDataElement

    # Those that are not raw any more are sequences without a length, which were read to their end.
    raw = (element for element in dataset.values() if isinstance(element, RawDataElement))
    return max((one.value_tell + one.length for one in raw if one.length != _UNDEFINED_LENGTH), default=0)
