"""The rows of an HDF5 table as they lie in the file: located by the library, read and never converted by it.

A table of acquisitions holds texts and samples elsewhere, in global heaps, and one wrong byte there makes the C library
loop, crash or ask for gigabytes as soon as it converts a row. Rows as plain bytes are safe, and several times quicker.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from recon.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import BinaryIO

    from numpy.typing import NDArray

# gzip cannot shrink data further than about 1 : 1032.
_MAX_COMPRESSION = 1100
# Rows that lie this close to each other are read in one go.
_NEAR_BYTES = 4096
# HDF5's numbers of its filters, in the words of the library.
_DEFLATE, _SHUFFLE, _FLETCHER32 = 1, 2, 3
_CHECKSUM_BYTES = 4


def read(dataset: Any, path: Path, n_bytes: int) -> NDArray[np.uint8]:
    """Read a table of one axis as bytes ``(row, byte)``.

    Parameters
    ----------
    dataset
        Table of an open file; its values lie in this very file.
    path
        The file.
    n_bytes
        Of a row in the file; in memory it may have another size.

    Raises
    ------
    FileError
        If the table has more axes, was never written as a whole, or is stored in a way that is not supported.
    """
    name = f"`{dataset.name.lstrip('/')}`"
    if dataset.file.id.get_create_plist().get_sizes() != (8, 8):
        raise FileError(path, "is an HDF5 file with addresses of unusual size; write it again (`h5repack`).")
    if len(dataset.shape or ()) != 1:
        raise FileError(path, f"{name} has shape {dataset.shape}; a table of one axis was expected.")
    n_rows = int(dataset.shape[0])
    stored = int(dataset.id.get_storage_size())
    filters = _filters(dataset, path, name)
    if n_rows * n_bytes > stored * (_MAX_COMPRESSION if filters else 1):
        raise FileError(
            path,
            f"{name} claims {n_rows} rows of {n_bytes} bytes, but {stored} bytes were ever written; the file is "
            "unfinished. Copy or export it again.",
        )
    table = np.zeros((n_rows, n_bytes), np.uint8)
    if dataset.chunks is None:
        first = dataset.id.get_offset()
        if n_rows and first is None:
            raise FileError(path, f"{name} is stored in an unusual way; write the file again (`h5repack`).")
        starts, places, sizes = [0], [first or 0], [n_rows * n_bytes]
        n_at_a_time = n_rows
    else:
        chunks: list[Any] = []
        dataset.id.chunk_iter(chunks.append)
        starts = [int(chunk.chunk_offset[0]) for chunk in chunks]
        places, sizes = [int(chunk.byte_offset) for chunk in chunks], [int(chunk.size) for chunk in chunks]
        n_at_a_time = int(dataset.chunks[0])
        if any(size > 2 * n_at_a_time * n_bytes + _NEAR_BYTES for size in sizes):
            raise FileError(path, f"{name} is damaged: its parts are of impossible sizes. Copy or download it again.")
        if not set(range(0, n_rows, n_at_a_time)) <= set(starts):
            raise FileError(
                path, f"{name} lacks some of its {n_rows} rows; the file is unfinished. Copy or export it again."
            )
    n_whole = n_at_a_time * n_bytes
    for start, block in zip(*_blocks(path, starts, places, sizes), strict=True):
        if start >= n_rows:
            continue  # beyond the end of a table that was shortened
        content = _unfiltered(block, filters, n_bytes, n_whole)
        rows = np.frombuffer(content[: len(content) - len(content) % n_bytes], np.uint8).reshape(-1, n_bytes)
        last = min(start + n_at_a_time, n_rows)
        if len(rows) < last - start:
            raise FileError(path, f"{name} ends early; the file is damaged. Copy or download it again.")
        table[start:last] = rows[: last - start]
    return table


def _blocks(
    path: Path, starts: Sequence[int], places: Sequence[int], sizes: Sequence[int]
) -> tuple[list[int], list[bytes]]:
    """First row and bytes of each chunk; many of them are a single row, so neighbours are read together."""
    order = np.argsort(np.asarray(places, np.int64), kind="stable")
    found_starts, found = [], []
    with path.open("rb") as file:
        run: list[int] = []
        for number in order.tolist():
            if run and not 0 <= places[number] - (places[run[-1]] + sizes[run[-1]]) <= _NEAR_BYTES:
                found += _read_run(file, [places[one] for one in run], [sizes[one] for one in run])
                run = []
            run.append(number)
            found_starts.append(starts[number])
        if run:
            found += _read_run(file, [places[one] for one in run], [sizes[one] for one in run])
    return found_starts, found


def _read_run(file: BinaryIO, places: Sequence[int], sizes: Sequence[int]) -> list[bytes]:
    file.seek(places[0])
    block = file.read(places[-1] + sizes[-1] - places[0])
    return [block[place - places[0] : place - places[0] + size] for place, size in zip(places, sizes, strict=True)]


def _filters(dataset: Any, path: Path, name: str) -> list[int]:
    plist = dataset.id.get_create_plist()
    found = [int(plist.get_filter(number)[0]) for number in range(plist.get_nfilters())]
    if not set(found) <= {_DEFLATE, _SHUFFLE, _FLETCHER32}:
        raise FileError(path, f"{name} is compressed in an unusual way; undo that with `h5repack -f NONE`.")
    return found


def _unfiltered(block: bytes, filters: Sequence[int], n_bytes: int, n_whole: int) -> bytes:
    """Undo the filters of a chunk, the last one first; never to more than the chunk can hold."""
    for number in reversed(filters):
        if number == _FLETCHER32:
            block = block[:-_CHECKSUM_BYTES]
        elif number == _DEFLATE:
            try:
                block = zlib.decompressobj().decompress(block, n_whole + _CHECKSUM_BYTES)
            except zlib.error as error:
                raise ValueError(f"its table cannot be decompressed: {error}") from None
        else:
            n_rows = len(block) // n_bytes
            shuffled = np.frombuffer(block[: n_rows * n_bytes], np.uint8).reshape(n_bytes, n_rows)
            block = shuffled.T.tobytes() + block[n_rows * n_bytes :]
    return block
