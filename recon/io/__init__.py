"""Files in. `open_study` looks at what a file holds, not at what it is called.

Opening costs milliseconds (of a compressed NIfTI file, the time to unpack half a volume): readers take shapes and
headers, and a slice is read when a `recon.data.Series` is asked for it.
"""

from __future__ import annotations

import os
import stat
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from recon.data import Declined, Study
from recon.errors import FileError, MissingPackageError, RequestError, needs_package
from recon.io import cfl, folders
from recon.simulate import SimulationSpec

if TYPE_CHECKING:
    from recon.data import Series

__all__ = ["IMAGES", "IS_RESULT", "KINDS", "RAW", "is_raw", "misnamed", "open_study", "sniff"]

_EXPECTED = (
    "raw data (fastMRI HDF5, ISMRMRD, BART's cfl, NumPy's npy), images (DICOM, NIfTI), or a folder of them was "
    "expected."
)
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_HEAD_BYTES = 4096
# What `sniff` calls that which opens: raw data, and images; a complex npy array, by exception, is raw data.
RAW = ("hdf5", "cfl")
IMAGES = ("dicom", "nifti", "npy")
KINDS = (*RAW, *IMAGES)
IS_RESULT = "is a result that this program exported, not a measured image"
_SUFFIXES = {
    ".h5": "HDF5", ".hdf5": "HDF5", ".mrd": "HDF5", ".dcm": "DICOM", ".nii": "NIfTI", ".npy": "NumPy array",
    ".cfl": "BART array",
}  # fmt: skip
# What people try to open, by the bytes that they start with.
_SIGNATURES = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive; unpack it first"),
    (b"\x1f\x8b", "compressed with gzip; unpack it first"),
    (b"BZh", "compressed with bzip2; unpack it first"),
    (b"\xfd7zXZ", "compressed with xz; unpack it first"),
    (b"7z\xbc\xaf", "a 7-Zip archive; unpack it first"),
    (b"MATLAB 5.0", "a MATLAB file of version 5 to 7; save k-space as fastMRI HDF5"),
    (b"\x7fELF", "a program"),
)


def open_study(path: Path | str, simulation: SimulationSpec | None = None) -> Study:
    """Open a file or folder; what it is follows from its content.

    Parameters
    ----------
    path
        Raw data (fastMRI or ISMRMRD HDF5, a cfl file of BART or the common name of its pair, a complex npy array),
        images (DICOM, NIfTI, a real npy array), or a folder that holds any number of them.
    simulation
        How k-space is simulated from magnitude images; None takes the defaults.

    Raises
    ------
    FileError
        If there is nothing at the path, it may not be read, or nothing in it can be opened.
    MissingPackageError
        If a Python package that reads it is not installed.
    """
    if simulation is not None and not isinstance(simulation, SimulationSpec):
        raise RequestError(f"the simulation is a {type(simulation).__name__}; a SimulationSpec was expected.")
    where = _checked(path)
    if where.is_dir():
        return _open_folder(where, simulation)
    with needs_package():
        found = sniff(where)
        if found in KINDS:
            return _open_file(where, found, simulation)
    raise FileError(where, f"{found}; {_EXPECTED}")


def _open_file(path: Path, found: str, simulation: SimulationSpec | None) -> Study:
    """Open one file as what `sniff` says that it is."""
    if found == "hdf5":
        from recon.io import raw_data

        return raw_data.read(path)
    if found == "dicom":
        from recon.io import dicom

        return dicom.read(path, simulation)
    if found == "nifti":
        from recon.io import nifti

        return nifti.read(path, simulation)
    from recon.io import arrays

    return arrays.read_cfl(path) if found == "cfl" else arrays.read_npy(path, simulation)


def sniff(path: Path) -> str:
    """Return one of `KINDS`, or words for what the file is instead, such as ``"is a PNG image"``.

    Raises
    ------
    FileError
        If the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size == 0:  # some that the system makes up wait for ever instead
                return "is empty (0 bytes)"
            head = file.read(_HEAD_BYTES)
            if _has_hdf5_signature(file):
                return "hdf5"
    except PermissionError:
        raise FileError(path, "may not be read: permission denied. Change its permissions or copy it.") from None
    except OSError as error:
        raise FileError(path, f"cannot be read ({error.strerror or error}); check the disk or network share.") from None
    if head[128:132] == b"DICM":
        return "dicom"
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if _is_nifti(unpacked := _unpacked(head)):
        is_packed = unpacked is not head
        if path.name.lower().endswith((".nii.gz",) if is_packed else (".nii", ".hdr")):
            return "nifti"
        ending = ".nii.gz" if is_packed else ".nii"
        return f"is a {'compressed ' if is_packed else ''}NIfTI image; give its name the ending {ending}"
    if path.suffix.lower() == ".img" and path.with_suffix(".hdr").is_file():
        return f"holds the voxels of a pair; open {path.with_suffix('.hdr').name}"
    if (words := _bart(path, head)) is not None:
        return words
    for signature, words in _SIGNATURES:
        if head.startswith(signature):
            return f"is {words}"
    if _is_headerless_dicom(path, head):
        return "dicom"
    if _is_text(head):
        return "is text"
    return "is of an unknown format"


def is_raw(path: Path, found: str) -> bool:
    """Tell whether a file holds raw data that opens with its folder: no result, and of arrays, their values decide.

    Parameters
    ----------
    path
        The file.
    found
        What `sniff` says of it.

    Raises
    ------
    FileError
        If it is an array that is damaged.
    """
    if found == "hdf5":
        from recon.io import raw_data

        return not raw_data.is_result(path)
    return found in ("cfl", "npy") and not _not_for_folders(path, found)


def misnamed(path: Path, found: str) -> str:
    """Return the reason against a file that its name calls a scan and its content does not; empty for all others.

    Parameters
    ----------
    path
        The file.
    found
        What `sniff` says of it.
    """
    kind = _SUFFIXES.get(path.suffix.lower())
    if kind is None or found in KINDS:
        return ""
    return f"{found.partition(';')[0]}, though its name says {kind}; copy or download it again."


def _checked(path: Path | str) -> Path:
    """A path that exists and is a file or a folder."""
    if not isinstance(path, (str, os.PathLike)) or not str(path):
        raise FileError(repr(path), f"is no path; {_EXPECTED}")
    where = Path(path)
    try:
        mode = where.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        # BART's own programs take the common name of a pair.
        if (data := cfl.data_of(where)).is_file():
            return data
        if folders.is_dead_link(where):
            raise FileError(where, folders.dead_link(where)) from None
        raise FileError(where, "there is no such file or folder; check the spelling.") from None
    except PermissionError:
        raise FileError(where, "may not be read: permission denied. Change its permissions or copy it.") from None
    except (OSError, ValueError) as error:  # too long a name, a loop of links, a null byte
        raise FileError(where, f"cannot be opened ({error}); check the path.") from None
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise FileError(where, f"is a device, pipe or socket; {_EXPECTED}")
    return where


def _open_folder(folder: Path, simulation: SimulationSpec | None) -> Study:
    """Every scan in the files of a folder and its sub-folders is a series; DICOM files are sorted into theirs."""
    series: list[Series] = []
    declined: list[Declined] = []
    has_dicom = False
    missing: MissingPackageError | None = None
    others: list[tuple[Path, str]] = []
    # The list first: a folder with far too many files is refused before any of them is opened.
    dead_links: list[Path] = []
    for path in list(folders.files(folder, dead_links)):
        try:
            with needs_package():
                found = sniff(path)
                if found == "dicom":
                    has_dicom = True
                elif found in KINDS:
                    if problem := _not_for_folders(path, found):
                        others.append((path, problem))
                        continue
                    inside = _open_file(path, found, simulation)
                    series += inside.series
                    declined += inside.declined
                elif path.suffix.lower() == ".cfl":
                    declined.append(Declined(path, f"{found}."))
                elif reason := misnamed(path, found):
                    declined.append(Declined(path, reason))
                else:
                    others.append((path, found))
        except FileError as error:
            declined.append(Declined(path, error.problem))
        except MissingPackageError as error:
            missing = error
            declined.append(Declined(path, str(error)))
    for path in dead_links:
        # A read-me that leads nowhere is no news either.
        if path.suffix.lower() in _SUFFIXES:
            declined.append(Declined(path, folders.dead_link(path)))
        else:
            others.append((path, folders.dead_link(path)))
    if has_dicom:
        try:
            with needs_package():
                from recon.io import dicom

                study = dicom.read(folder, simulation)
        except FileError as error:
            declined.append(Declined(folder, error.problem))
        except MissingPackageError as error:
            missing = error
            declined.append(Declined(folder, str(error)))
        else:
            series += study.series
            declined += study.declined
    if any(not one.is_result for one in series):
        # Earlier results beside the scans are no scans: nobody wants to reconstruct or score them again.
        results = [one for one in series if one.is_result]
        series = [one for one in series if not one.is_result]
        declined += [Declined(one.path, f"(“{one.title}”) {IS_RESULT}; open it by its own name.") for one in results]
    if series:
        # A read-me beside the data is no news; a file that should have opened and did not is.
        return Study(
            path=folder, title=folder.resolve().name or str(folder), series=tuple(series), declined=tuple(declined)
        )
    if missing is not None:
        raise missing
    raise FileError(folder, _nothing(folder, declined, others))


def _not_for_folders(path: Path, found: str) -> str:
    """What keeps a file from opening with its folder, though it opens by its own name; empty where nothing does."""
    if found == "cfl" and path.suffix.lower() == ".hdr":
        return "is the header of a BART array"
    if found in ("npy", "cfl"):
        from recon.io import arrays

        if not arrays.is_surely_kspace(path, found):
            return "is an array that may be a mask, maps or images; open it by its own name"
    return ""


def _nothing(folder: Path, declined: list[Declined], others: list[tuple[Path, str]]) -> str:
    """Why a folder gives nothing, by its first file."""
    n_files = len(declined) + len(others)
    if not n_files:
        return f"is an empty folder; {_EXPECTED}"
    first, reason = (declined[0].path, declined[0].reason) if declined else others[0]
    if first == folder:
        return reason
    beginning = "holds one file" if n_files == 1 else f"holds {n_files} files"
    return f"{beginning} and nothing that can be opened ({first.name} {reason.rstrip('.')}); {_EXPECTED}"


def _has_hdf5_signature(file: BinaryIO) -> bool:
    """HDF5 begins at byte 0, or behind a user block of 512, 1024, 2048, … bytes."""
    for offset in (0, *(512 << power for power in range(12))):
        file.seek(offset)
        beginning = file.read(len(_HDF5_SIGNATURE))
        if beginning == _HDF5_SIGNATURE:
            return True
        if len(beginning) < len(_HDF5_SIGNATURE):
            return False
    return False


def _unpacked(head: bytes) -> bytes:
    """The beginning of what a file of gzip holds; any other beginning as it is."""
    if not head.startswith(b"\x1f\x8b"):
        return head
    try:
        return zlib.decompressobj(31).decompress(head, 512)
    except zlib.error:
        return head


def _is_nifti(head: bytes) -> bool:
    return head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] in (b"n+2\0", b"ni2\0")


def _bart(path: Path, head: bytes) -> str | None:
    """BART's values have no mark of their own: a pair is known by its names and its header."""
    ending = path.suffix.lower()
    if ending == ".hdr" and head.lstrip().startswith(b"# Dimensions"):
        return "cfl"
    if ending == ".cfl":
        header = cfl.header_of(path)
        return "cfl" if header.is_file() else f"is a BART array without its header {header.name}; bring it beside"
    return None


def _is_headerless_dicom(path: Path, head: bytes) -> bool:
    """DICOM without its preamble starts with an element of group 2 or 8; only such files are given to the parser."""
    if len(head) < 8 or head[0:2] not in (b"\x02\0", b"\x08\0") or head[3] != 0:
        return False
    from recon.io import dicom

    return bool(dicom.is_dicom(path))


def _is_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 3  # only the last letter is cut
    return True
