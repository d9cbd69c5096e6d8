"""The rows of an HDF5 table as they lie in the file: located by the library, read and never converted by it.

A table of acquisitions holds texts and samples elsewhere, in global heaps, and one wrong byte there makes the C library
loop, crash or ask for gigabytes as soon as it converts a row. Rows as plain bytes are safe, and several times quicker.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recon.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

# gzip cannot shrink data further than about 1 : 1032.
_MAX_COMPRESSION = 1100
# Rows that lie this close to each other are read in one go.
_NEAR_BYTES = 4096
# Of rows that are read in one go: beside the table, memory holds no more of them.
_MAX_RUN_BYTES = 8 * 2**20
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
    if dataset.chunks is None:
        first = dataset.id.get_offset()
        if n_rows and first is None:
            raise FileError(path, f"{name} is stored in an unusual way; write the file again (`h5repack`).")
        chunks = {0: _Chunk(first or 0, n_rows * n_bytes, 0)}
        n_whole, starts = n_rows * n_bytes, range(1)
    else:
        found: list[Any] = []
        dataset.id.chunk_iter(found.append)
        chunks = {int(one.chunk_offset[0]): _Chunk(one.byte_offset, one.size, one.filter_mask) for one in found}
        n_whole, starts = int(dataset.chunks[0]) * n_bytes, range(0, n_rows, int(dataset.chunks[0]))
        if any(chunk.size > 2 * n_whole + _NEAR_BYTES for chunk in chunks.values()):
            raise FileError(path, f"{name} is damaged: its parts are of impossible sizes. Copy or download it again.")
        if not chunks.keys() >= set(starts):
            raise FileError(
                path, f"{name} lacks some of its {n_rows} rows; the file is unfinished. Copy or export it again."
            )
    content = np.empty(n_rows * n_bytes, np.uint8)
    for start, block in _blocks(path, {start: chunks[start] for start in starts}):
        if filters:
            block = _unfiltered(bytes(block), filters, chunks[start].filter_mask, n_bytes, n_whole)
        if len(block) != n_whole:
            raise FileError(path, f"{name} ends early; the file is damaged. Copy or download it again.")
        # The last chunk may have room for more rows than there are.
        place = content[start * n_bytes : start * n_bytes + n_whole]
        place[:] = np.frombuffer(block, np.uint8, len(place))
    return content.reshape(n_rows, n_bytes)


class _Chunk(NamedTuple):
    """Where a part of a table lies in the file, and a bit for each filter that was skipped."""

    place: int
    size: int
    filter_mask: int


def _blocks(path: Path, chunks: Mapping[int, _Chunk]) -> Iterator[tuple[int, memoryview | bytes]]:
    """Read the chunks, by their first row; many of them are a single row, so neighbours are read together."""
    runs: list[list[int]] = []
    begin = end = 0
    for start in sorted(chunks, key=lambda one: chunks[one].place):
        chunk = chunks[start]
        last = chunk.place + chunk.size
        if not runs or not 0 <= chunk.place - end <= _NEAR_BYTES or last - begin > _MAX_RUN_BYTES:
            runs.append([])
            begin = chunk.place
        runs[-1].append(start)
        end = last
    with path.open("rb") as file:
        for run in runs:
            first, last_chunk = chunks[run[0]].place, chunks[run[-1]]
            file.seek(first)
            block = memoryview(file.read(last_chunk.place + last_chunk.size - first))
            for start in run:
                place, size, _ = chunks[start]
                yield start, block[place - first : place - first + size]


def _filters(dataset: Any, path: Path, name: str) -> list[int]:
    plist = dataset.id.get_create_plist()
    found = [int(plist.get_filter(number)[0]) for number in range(plist.get_nfilters())]
    if not set(found) <= {_DEFLATE, _SHUFFLE, _FLETCHER32}:
        raise FileError(path, f"{name} is compressed in an unusual way; undo that with `h5repack -f NONE`.")
    return found


def _unfiltered(block: bytes, filters: Sequence[int], skipped: int, n_bytes: int, n_whole: int) -> bytes:
    """Undo the filters of a chunk, the last one first; never to more than the chunk can hold."""
    for position, number in reversed(list(enumerate(filters))):
        if skipped >> position & 1:
            continue
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
