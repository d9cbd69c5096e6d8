"""A look at an HDF5 file's global heaps, where its texts lie, before the library reads them.

One wrong byte in a heap makes the C library loop for ever or ask for gigabytes, and the program with it. The layout is
simple, so it is checked here first: a heap is ``GCOL``, a version, its size, and objects that fill it one after
another; a text elsewhere is its length, the address of its heap and the number of its object.

References
----------
HDF5 File Format Specification, III.E Disk Format: Level 1E, Global Heap.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from recon.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# Structure stands at the beginning or the end of a file; in between lie chunks of data, which may be gigabytes.
MAX_SCAN_BYTES = 4 * 2**20
_SIGNATURE = b"GCOL"
_HEADER_BYTES = 16
_ALIGNMENT = 8


def check(path: Path, data: Iterable[tuple[int, int]], base: int = 0) -> None:
    """Check every heap outside the data of a file.

    Parameters
    ----------
    path
        The file.
    data
        First byte and number of bytes of each stretch that holds nothing but numbers.
    base
        Byte at which HDF5 begins, behind a user block.

    Raises
    ------
    FileError
        If a heap, or a text that lies in it, is damaged.
    """
    n_bytes = path.stat().st_size
    blocks: list[tuple[int, bytes]] = []
    with path.open("rb") as file:
        for first, end in _gaps(data, n_bytes):
            file.seek(first)
            blocks.append((first, file.read(end - first)))
    heaps: dict[int, dict[int, int]] = {}
    for first, block in blocks:
        start = block.find(_SIGNATURE)
        while start >= 0:
            address = first + start - base
            if address % _ALIGNMENT == 0 and block[start + 4 : start + 8] == b"\1\0\0\0":
                heaps[address] = _objects(path, block, start)
            start = block.find(_SIGNATURE, start + 1)
    for address, objects in heaps.items():
        for _, block in blocks:
            _check_texts(path, block, address, objects)


def read_text(path: Path, position: int, base: int, max_bytes: int) -> bytes:
    """Read one text of any length without the library.

    Parameters
    ----------
    path
        The file.
    position
        Where the text's length, address and number stand.
    base
        Byte at which HDF5 begins, behind a user block.
    max_bytes
        Longest text that makes sense.

    Raises
    ------
    ValueError
        If it is longer, or not where it should be.
    """
    with path.open("rb") as file:
        file.seek(position)
        reference = file.read(16)
        if len(reference) < 16:
            raise ValueError("it ends early")
        length, address, number = struct.unpack("<IQI", reference)
        if length > max_bytes:
            raise ValueError(f"it is {length / 2**20:.0f} MiB long")
        if address + base + _HEADER_BYTES > path.stat().st_size:
            raise ValueError("it lies outside the file")
        file.seek(address + base)
        head = file.read(_HEADER_BYTES)
        (size,) = struct.unpack_from("<Q", head, 8)
        if not head.startswith(_SIGNATURE) or size > max_bytes + MAX_SCAN_BYTES:
            raise ValueError("it is not where it should be")
        block = head + file.read(size - _HEADER_BYTES)
    objects = _objects(path, block, 0)
    place = _HEADER_BYTES
    for other, n_bytes in objects.items():
        if other == number and number and length <= n_bytes:
            return block[place + _HEADER_BYTES : place + _HEADER_BYTES + length]
        place += _HEADER_BYTES + -(-n_bytes // _ALIGNMENT) * _ALIGNMENT
    raise ValueError("it is not where it should be")


def _gaps(data: Iterable[tuple[int, int]], n_bytes: int) -> list[tuple[int, int]]:
    """Stretches that hold structure: what is left between the data, of long stretches the two ends."""
    gaps, end = [], 0
    for first, size in [*sorted(data), (n_bytes, 0)]:
        if first - end > 2 * MAX_SCAN_BYTES:
            gaps += [(end, end + MAX_SCAN_BYTES), (first - MAX_SCAN_BYTES, first)]
        elif first > end:
            gaps.append((end, first))
        end = max(end, first + size)
    return [(first, min(last, n_bytes)) for first, last in gaps if first < n_bytes]


def _objects(path: Path, block: bytes, start: int) -> dict[int, int]:
    """Sizes of a heap's objects by their numbers."""
    (size,) = struct.unpack_from("<Q", block, start + 8) if start + 16 <= len(block) else (0,)
    end = start + size
    position = start + _HEADER_BYTES
    if size < _HEADER_BYTES or end > len(block):
        raise _damaged(path)
    objects: dict[int, int] = {}
    while end - position >= _HEADER_BYTES:
        number, _, _, n_bytes = struct.unpack_from("<HHIQ", block, position)
        # Object 0 is the free rest and counts its own header.
        step = _HEADER_BYTES + -(-n_bytes // _ALIGNMENT) * _ALIGNMENT if number else n_bytes
        if step < _HEADER_BYTES or position + step > end or number in objects:
            raise _damaged(path)
        objects[number] = n_bytes
        position += step
    return objects


def _check_texts(path: Path, block: bytes, address: int, objects: dict[int, int]) -> None:
    pattern = struct.pack("<Q", address)
    found = block.find(pattern, 4)
    while found >= 0:
        if found + 12 <= len(block):
            length, number = struct.unpack_from("<I8xI", block, found - 4)
            if number in objects and number and length > objects[number]:
                raise _damaged(path)
        found = block.find(pattern, found + 1)


def _damaged(path: Path) -> FileError:
    return FileError(path, "is a damaged HDF5 file (the texts in it do not fit together); copy or download it again.")
