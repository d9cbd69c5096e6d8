"""NumPy files from strangers: one array, and never a pickle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recon.errors import FileError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def load(path: str | Path, what: str, expected: str, *, is_mapped: bool = False) -> NDArray[Any]:
    """Read the array of a ``.npy`` file.

    Parameters
    ----------
    path
        The file.
    what
        What it should be, such as ``mask``.
    expected
        What to do where it is something else; the end of a sentence.
    is_mapped
        True to map the file, whose values are then read when they are used.

    Raises
    ------
    FileError
        If it holds no array.
    """
    try:
        if is_mapped:
            array = _mapped(path)
        else:
            # NumPy leaves a file open that it opened and cannot read.
            with Path(path).open("rb") as file:
                array = np.load(file, allow_pickle=False)
    except FileNotFoundError:
        raise FileError(path, f"there is no such {what} file; give the path of a .npy array.") from None
    except Exception as error:  # noqa: BLE001  headers are Python to NumPy, and damaged bytes can raise anything
        if isinstance(error, OSError) and error.strerror:
            reason = error.strerror
        elif is_mapped and "mmap length" in str(error):
            raise FileError(
                path, "was cut off: it is shorter than its header says; copy or download it again."
            ) from None
        elif isinstance(error, (ValueError, EOFError)) and "pickle" not in str(error):
            reason = str(error)
        else:
            # In its own words NumPy advises to unpickle whatever it cannot read.
            reason = "it holds no array of numbers, or is damaged"
        raise FileError(path, f"is not a readable .npy file of {what} ({reason}); {expected}") from None
    if not isinstance(array, np.ndarray):
        raise FileError(path, f"is a .npz archive; {expected}")
    return array


def _mapped(path: str | Path) -> Any:
    with Path(path).open("rb") as file:
        if file.read(len(np.lib.format.MAGIC_PREFIX)) != np.lib.format.MAGIC_PREFIX:
            raise ValueError("it is no array of NumPy")
    return np.lib.format.open_memmap(path, mode="r").view(np.ndarray)
