"""BART's files: ``NAME.hdr`` holds the dimensions as text, ``NAME.cfl`` complex64 values, first dimension fastest."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.errors import FileError

# BART writes all of its dimensions, most of them 1.
N_DIMENSIONS = 16
_LONGEST_HEADER = 1 << 20


def read(path: Path | str) -> NDArray[np.complex64]:
    """Read an array.

    Parameters
    ----------
    path
        Either file of the pair, or their common name.

    Returns
    -------
    The values, mapped from the file and read when they are used; dimensions of 1 at the end are left out.

    Raises
    ------
    FileError
        If a file is missing, is no such file, or is shorter or longer than its header says.
    """
    header, data = _pair(path)
    shape = read_shape(header)
    n_bytes = math.prod(shape) * np.dtype(np.complex64).itemsize
    try:
        found = data.stat().st_size
        if found != n_bytes:
            raise FileError(
                data,
                f"holds {found} bytes, its header {header.name} announces {n_bytes} ({' × '.join(map(str, shape))} "
                "complex values); the file was cut off or the header is not its own, write both again.",
            )
        # A copy-on-write map: torch refuses memory that it may not write to.
        values = np.memmap(data, np.complex64, mode="c", shape=shape, order="F")
    except OSError as error:
        raise FileError(data, f"cannot be read ({error.strerror or error}).") from None
    return values.view(np.ndarray)


def read_shape(path: Path | str) -> tuple[int, ...]:
    """Return the dimensions that a header announces, without those of 1 at the end.

    Raises
    ------
    FileError
        If there is no header, or it announces nothing that could be.
    """
    header, _ = _pair(path)
    try:
        if header.stat().st_size > _LONGEST_HEADER:
            raise FileError(header, "is no header of a cfl file: it is longer than a megabyte.")
        lines = header.read_text("utf-8", errors="replace").splitlines()
    except OSError as error:
        raise FileError(header, f"cannot be read ({error.strerror or error}); a cfl file comes with it.") from None
    after = [line for title, line in pairwise(lines) if title.strip() == "# Dimensions"]
    words = after[0].split() if after else []
    if not words or not all(word.isascii() and word.isdigit() and 0 < int(word) < 1 << 40 for word in words):
        raise FileError(header, "is no header of a cfl file: a line '# Dimensions' with positive numbers was expected.")
    shape = [int(word) for word in words]
    while len(shape) > 1 and shape[-1] == 1:
        shape.pop()
    return tuple(shape)


def header_of(path: Path | str) -> Path:
    """Return the file of a pair that holds the dimensions; either file, or their common name, names the pair."""
    return _pair(path)[0]


def data_of(path: Path | str) -> Path:
    """Return the file of a pair that holds the values; see `header_of`."""
    return _pair(path)[1]


def write(path: Path | str, values: NDArray[Any]) -> None:
    """Write an array; files that are there are replaced.

    Parameters
    ----------
    path
        Either file of the pair, or their common name.
    values
        What to write; it becomes complex64.

    Raises
    ------
    ValueError
        If the array has more dimensions than BART knows, or holds nothing.
    """
    if values.ndim > N_DIMENSIONS or values.size == 0:
        raise ValueError(f"an array of shape {values.shape} does not fit into a cfl file")
    header, data = _pair(path)
    header.unlink(missing_ok=True)
    np.asarray(values, np.complex64).ravel(order="F").tofile(data)
    shape = (*values.shape, *(1,) * (N_DIMENSIONS - values.ndim))
    # Last: who looks for the header finds a pair that is complete.
    header.write_text(f"# Dimensions\n{' '.join(map(str, shape))}\n", "utf-8")


def _pair(path: Path | str) -> tuple[Path, Path]:
    path = Path(path)
    stem = path.with_suffix("") if path.suffix.lower() in (".cfl", ".hdr") else path
    return _with_ending(stem, ".hdr"), _with_ending(stem, ".cfl")


def _with_ending(stem: Path, ending: str) -> Path:
    """The file of this ending; some ways of copying make its letters capital."""
    path, capital = (stem.with_name(stem.name + letters) for letters in (ending, ending.upper()))
    return capital if capital.is_file() and not path.is_file() else path
