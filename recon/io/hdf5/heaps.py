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
    from typing import BinaryIO

# The library lets a heap of many objects grow to this; a larger one holds a single large object.
_MAX_SHARED_BYTES = 2**17
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


def read_text(path: Path, reference: bytes, base: int, max_bytes: int) -> bytes:
    """Read one text of any length without the library.

    Parameters
    ----------
    path
        The file.
    reference
        What stands in the place of the text: its length, the address of its heap and its number there.
    base
        Byte at which HDF5 begins, behind a user block.
    max_bytes
        Longest text that makes sense.

    Raises
    ------
    ValueError
        If it is longer, or not where it should be.
    """
    length, address, number = struct.unpack("<IQI", reference)
    if length > max_bytes:
        raise ValueError(f"it is {length / 2**20:.0f} MiB long")
    with path.open("rb") as file:
        if address + base + _HEADER_BYTES > path.stat().st_size:
            raise ValueError("it lies outside the file")
        file.seek(address + base)
        head = file.read(_HEADER_BYTES)
        (size,) = struct.unpack_from("<Q", head, 8)
        if not head.startswith(_SIGNATURE) or not _HEADER_BYTES <= size <= max_bytes + MAX_SCAN_BYTES:
            raise ValueError("it is not where it should be")
        block = head + file.read(size - _HEADER_BYTES)
    try:
        objects = _objects(path, block, 0)
    except FileError:
        raise ValueError("what lies around it is damaged") from None
    place = _HEADER_BYTES
    for other, n_bytes in objects.items():
        if other == number and number and length <= n_bytes:
            return block[place + _HEADER_BYTES : place + _HEADER_BYTES + length]
        place += _HEADER_BYTES + -(-n_bytes // _ALIGNMENT) * _ALIGNMENT
    raise ValueError("it is not where it should be")


class Samples:
    """Reads lists of numbers from the heaps of an open file; neighbours in one heap cost one access.

    Parameters
    ----------
    file
        The file, open for reading.
    path
        Its name, for messages.
    base
        Byte at which HDF5 begins, behind a user block.
    """

    def __init__(self, file: BinaryIO, path: Path, base: int) -> None:
        self._file = file
        self._path = path
        self._base = base
        self._address = -1
        self._block = b""
        self._places: dict[int, tuple[int, int]] = {}

    def read(self, address: int, number: int, n_bytes: int) -> memoryview:
        """Return the bytes of one list.

        Parameters
        ----------
        address
            Where its heap begins.
        number
            Its number in the heap.
        n_bytes
            How long it has to be.

        Raises
        ------
        FileError
            If it is not there, or is shorter.
        """
        if address != self._address:
            self._open(address, n_bytes)
        place, size = self._places.get(number, (0, -1))
        if not number or size < n_bytes:
            raise _misplaced(self._path)
        return memoryview(self._block)[place : place + n_bytes]

    def _open(self, address: int, n_bytes: int) -> None:
        if address < 0:
            raise _misplaced(self._path)
        self._address, self._places = -1, {}
        self._file.seek(address + self._base)
        # Most heaps hold one list, so that this is all of it.
        block = self._file.read(n_bytes + 4096)
        (size,) = struct.unpack_from("<Q", block, 8) if len(block) >= _HEADER_BYTES else (0,)
        if not block.startswith(_SIGNATURE) or size < _HEADER_BYTES or size > n_bytes + _MAX_SHARED_BYTES:
            raise _misplaced(self._path)
        if size > len(block):
            block += self._file.read(size - len(block))
        place = _HEADER_BYTES
        for number, n_object in _objects(self._path, block[:size], 0).items():
            if number:
                self._places[number] = (place + _HEADER_BYTES, n_object)
                place += _HEADER_BYTES + -(-n_object // _ALIGNMENT) * _ALIGNMENT
            else:
                place += n_object
        self._address, self._block = address, block


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


def _misplaced(path: Path) -> FileError:
    return FileError(
        path, "is a damaged or truncated HDF5 file (samples are not where they should be); copy or download it again."
    )


def _damaged(path: Path) -> FileError:
    return FileError(path, "is a damaged HDF5 file (the texts in it do not fit together); copy or download it again.")
