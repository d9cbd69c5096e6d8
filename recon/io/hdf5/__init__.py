"""HDF5 from strangers: nothing outside the file is read, and whatever the library stumbles over becomes a FileError."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from recon.errors import FileError
from recon.io.hdf5 import heaps, rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MAX_ATTRIBUTE_TEXT = 500
# What stands in the place of a text of any length: its length, and where it is.
_REFERENCE_BYTES = 16


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open an HDF5 file for reading; whatever HDF5 stumbles over becomes a FileError."""
    import h5py

    try:
        # A slice is read once and whole, so a chunk cache would only add memory. Files on a network share that
        # cannot lock are read without a lock.
        # Values that overflow or are not numbers are found and named where they matter.
        with h5py.File(path, "r", rdcc_nbytes=0, locking="best-effort") as file, np.errstate(all="ignore"):
            yield file
    except PermissionError:
        raise FileError(path, "may not be read: permission denied. Change its permissions or copy it.") from None
    except MemoryError:
        raise FileError(path, "does not fit into memory: one slice is larger than what is free.") from None
    except BlockingIOError:
        raise FileError(path, "is locked: another program is writing it. Try again when that is done.") from None
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise FileError(
            path, f"is a damaged or truncated HDF5 file ({detail(error)}); copy or download it again."
        ) from error


def detail(error: Exception) -> str:
    """The words of an HDF5 error that mean something to a reader."""
    text = " ".join(str(error).split()) or type(error).__name__
    inner = re.search(r"\((.*)\)\s*$", text)
    return (inner.group(1) if inner else text)[:160]


def hard_link(file: Any, name: str) -> bool:
    """True when a name leads to an object of this very file."""
    import h5py

    return isinstance(file.get(name, getlink=True), h5py.HardLink)


def own_dataset(file: Any, name: str) -> Any | None:
    """A dataset whose values lie in this very file, or None: nothing else on the disk is read for a stranger."""
    import h5py

    if name not in file or not hard_link(file, name):
        return None
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
        return None
    return dataset


def text(group: Any, name: str, path: Path, max_bytes: int) -> bytes | str:
    """Read a dataset that is one text; the library would ask for any memory, or crash, where it is damaged.

    Parameters
    ----------
    group
        Where it is.
    name
        Its name.
    path
        The file.
    max_bytes
        Longest text that makes sense.

    Raises
    ------
    ValueError
        If there is none, or it is longer.
    """
    dataset = own_dataset(group, name)
    if dataset is None:
        raise ValueError("it is not a dataset of this file")
    if dataset.size != 1 or dataset.dtype.kind not in "SO":
        raise ValueError(f"it holds {dataset.dtype} values of shape {dataset.shape}; XML text was expected")
    if dataset.dtype.itemsize > max_bytes:
        raise ValueError(f"it is {dataset.dtype.itemsize / 2**20:.0f} MiB long")
    if dataset.dtype.kind == "O":
        return heaps.read_text(path, _reference(dataset, path), group.file.userblock_size, max_bytes)
    value = dataset[()] if dataset.shape == () else dataset[(0,) * dataset.ndim]
    if not isinstance(value, (bytes, str)):
        raise ValueError(f"it holds a {type(value).__name__}; XML text was expected")
    return value


def _reference(dataset: Any, path: Path) -> bytes:
    """What stands in the place of a text of any length, in the only row of a dataset."""
    first = dataset.id.get_offset()
    if first is None:
        try:
            return bytes(rows.read(dataset, path, _REFERENCE_BYTES)[0])
        except FileError as error:
            raise ValueError(error.problem.rstrip(".")) from None
    with path.open("rb") as file:
        file.seek(first)
        reference = file.read(_REFERENCE_BYTES)
    if len(reference) < _REFERENCE_BYTES:
        raise ValueError("it ends early")
    return reference


def complex_fields(dtype: np.dtype[Any]) -> tuple[str, str] | None:
    """Names of the two fields of a compound type that stands for a complex number."""
    names = dtype.names
    if names is None or len(names) != 2 or any(dtype[name].kind not in "fiu" for name in names):
        return None
    lowered = tuple(name.lower() for name in names)
    known = (("r", "i"), ("re", "im"), ("real", "imag"), ("real", "imaginary"))
    return (names[0], names[1]) if lowered in known else None


def is_sound(dataset: Any) -> bool:
    """True when the stored type is made of plain numbers that lie side by side.

    A damaged type, with fields that overlap or floats of 200 bits, would send the library's conversion out of its
    buffers, and the program with it.
    """
    from h5py import h5t

    stored = dataset.id.get_type()
    if isinstance(stored, h5t.TypeCompoundID):
        members = [(stored.get_member_offset(i), stored.get_member_type(i)) for i in range(stored.get_nmembers())]
    elif hasattr(h5t, "TypeComplexID") and isinstance(stored, h5t.TypeComplexID):
        return True  # HDF5's own complex type, which has no fields to overlap
    else:
        members = [(0, stored.get_super() if isinstance(stored, h5t.TypeEnumID) else stored)]
    members.sort(key=lambda member: member[0])
    end = 0
    for offset, kind in members:
        if offset < end or not any(kind.equal(plain) for plain in _plain_types()):
            return False
        end = offset + kind.get_size()
    return bool(end <= stored.get_size())


def _plain_types() -> list[Any]:
    from h5py import h5t

    floats = [getattr(h5t, f"IEEE_F{bits}{order}") for bits in (16, 32, 64) for order in ("LE", "BE")]
    integers = [
        getattr(h5t, f"STD_{sign}{bits}{order}") for sign in "IU" for bits in (8, 16, 32, 64) for order in ("LE", "BE")
    ]
    return [*floats, *integers]


def attributes(file: Any) -> dict[str, str]:
    """The attributes of the file as text; one that cannot be read is left out."""
    import h5py

    texts: dict[str, str] = {}
    for name in file.attrs:
        try:
            value = file.attrs[name]
        except (OSError, RuntimeError, LookupError, ValueError, TypeError):
            continue
        if isinstance(value, (bytes, np.bytes_)):
            value = value.decode("utf-8", "replace")
        if isinstance(value, h5py.Empty) or np.size(value) > 16 or getattr(value, "dtype", np.dtype(str)).kind == "O":
            continue
        text = "".join(letter if letter.isprintable() else " " for letter in str(value)).strip()
        if text:
            texts[name] = text[:_MAX_ATTRIBUTE_TEXT]
    return texts
