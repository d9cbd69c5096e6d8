"""The readouts of an ISMRMRD series: where their samples lie in the file, and where they belong on the grid.

A slice is put together from its own readouts alone. A slice of a 3-D scan needs those of all partitions: they are read
a few at a time and summed with the weights of the inverse Fourier transform, so that memory stays near one slice.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recon.errors import FileError
from recon.io import reference, stamps
from recon.io.hdf5 import heaps
from recon.io.ismrmrd import acquisitions, encoding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from numpy.typing import NDArray

# Samples that are read before they are added to the grid.
_BLOCK_BYTES = 8 * 2**20
_SAMPLE_BYTES = 8
_PLACE = np.dtype([
    ("slab", "<i8"), ("turn", "<i8"), ("column", "<i8"), ("partition", "<i8"), ("first", "<i8"), ("weight", "<f4"),
    ("is_reversed", "?"), ("n_values", "<i8"), ("address", "<i8"), ("number", "<i8"),
])  # fmt: skip


@dataclass(frozen=True)
class File:
    """A file as it was when it was opened.

    Attributes
    ----------
    path
        The file.
    base
        Byte at which HDF5 begins, behind a user block.
    stamp
        Where samples lie is known for this state of it alone.
    """

    path: Path
    base: int
    stamp: stamps.Stamp


@dataclass(frozen=True, eq=False)
class IsmrmrdSource:
    """Puts slices together; the file is open only during a call.

    Attributes
    ----------
    file
        The file.
    shape
        ``(coils, y, x)`` of a slice.
    n_partitions
        Second phase encodes of a 3-D scan; 1 for slices.
    n_samples
        Of a readout.
    rows
        First and one-past-last row that was measured.
    lines
        The readouts in the order in which they are read.
    slices
        Of each slice of the series, its slab in ``lines`` and its place in the slab.
    recon_size
        ``(y, x)`` of the reference.
    noise
        Samples ``(coil, sample)`` that pre-whiten the coils of the reference.
    """

    file: File
    shape: tuple[int, int, int]
    n_partitions: int
    n_samples: int
    rows: tuple[int, int]
    lines: NDArray[Any]
    slices: tuple[tuple[int, int], ...]
    recon_size: tuple[int, int]
    noise: NDArray[np.complex64] | None = None

    def kspace(self, index: int) -> NDArray[np.complex64]:
        """Return k-space ``(coil, y, x)`` of a slice."""
        slab, place = self.slices[index]
        begin, end = np.searchsorted(self.lines["slab"], [slab, slab + 1]).tolist()
        lines = self.lines[begin:end]
        weights = lines["weight"]
        if self.n_partitions > 1:
            weights = weights * _transform(self.n_partitions, place)[lines["partition"]]
        coils, rows, columns = self.shape
        first, last = self.rows
        try:
            grid = np.zeros((columns, coils, rows), np.complex64)
            with _opened(self.file) as file, np.errstate(all="ignore"):
                samples = heaps.Samples(file, self.file.path, self.file.base)
                for block in _blocks(lines, coils * self.n_samples * _SAMPLE_BYTES):
                    values = self._read(samples, lines[block])
                    begins = first - lines["first"][block]
                    for begin in np.unique(begins).tolist():
                        some = begins == begin
                        part = values[some][..., begin : begin + last - first]
                        grid[lines["column"][block][some], :, first:last] += part * weights[block][some, None, None]
        except MemoryError:
            raise FileError(
                self.file.path, "does not fit into memory: one slice is larger than what is free."
            ) from None
        return np.ascontiguousarray(grid.transpose(1, 2, 0))

    def reference(self, index: int) -> NDArray[np.float32]:
        """Return the reference magnitude ``(y, x)`` of a slice, computed from its full k-space."""
        return reference.computed(self.kspace(index), self.recon_size, self.noise)

    def _read(self, samples: heaps.Samples, lines: NDArray[Any]) -> NDArray[np.complex64]:
        """Samples of some readouts ``(readout, coil, sample)``, reversed ones turned round."""
        values = np.empty((len(lines), self.shape[0], self.n_samples), np.complex64)
        read_into(values, samples, lines, self.file.path)
        turned = lines["is_reversed"]
        values[turned] = values[turned][..., ::-1]
        return values


def source(
    file: File,
    lines: NDArray[Any],
    slabs: NDArray[np.int64],
    grid: encoding.Encoding,
    slices: tuple[tuple[int, int], ...],
    noise: NDArray[np.complex64] | None = None,
) -> IsmrmrdSource:
    """Return what reads the slices of some readouts.

    Parameters
    ----------
    file
        The file.
    lines
        Readouts of one series, see `acquisitions.DTYPE`; all of one length and number of channels, and their headers
        `encoding.turned_round`.
    slabs
        Slab of each readout: a slice, or all partitions of a 3-D scan.
    grid
        Their grid.
    slices
        Slab and place in it of each slice.
    noise
        See `IsmrmrdSource`.
    """
    rows, columns = grid.matrix
    table = np.zeros(len(lines), _PLACE)
    table["slab"] = slabs
    table["column"] = lines["step_1"] + grid.first_column
    table["partition"] = lines["step_2"] + grid.first_partition
    table["first"] = encoding.first_rows(lines, rows)
    table["is_reversed"] = acquisitions.flagged(lines, acquisitions.REVERSE)
    for name in ("n_values", "address", "number"):
        table[name] = lines[name]
    column = table["slab"] * columns + table["column"]
    sample = column * grid.n_partitions + table["partition"]
    # Averages: all readouts of one place have equal weight.
    _, where, counts = np.unique(sample, return_inverse=True, return_counts=True)
    table["weight"] = 1 / counts[where]
    # No column occurs twice in one turn, so that a turn can be added at once.
    order = np.argsort(column, kind="stable")
    begins = np.flatnonzero(np.diff(column[order], prepend=-1))
    n_each = np.diff(begins, append=len(order))
    table["turn"][order] = np.arange(len(order)) - np.repeat(begins, n_each)
    return IsmrmrdSource(
        file=file,
        shape=(int(lines["n_channels"][0]), rows, columns),
        n_partitions=grid.n_partitions,
        n_samples=int(lines["n_samples"][0]),
        rows=encoding.common_rows(lines, rows),
        lines=table[np.lexsort((table["column"], table["turn"], table["slab"]))],
        slices=slices,
        recon_size=grid.recon_size,
        noise=noise,
    )


def read(file: File, lines: NDArray[Any]) -> NDArray[np.complex64]:
    """Read the samples of a few readouts as they are, ``(readout, coil, sample)``.

    Parameters
    ----------
    file
        The file.
    lines
        Readouts of one length and number of channels, see `acquisitions.DTYPE`.

    Raises
    ------
    FileError
        If they are not where they should be.
    """
    shape = (len(lines), int(lines["n_channels"][0]), int(lines["n_samples"][0])) if len(lines) else (0, 0, 0)
    if int(np.prod(shape, dtype=object)) * _SAMPLE_BYTES > file.stamp[0]:
        raise FileError(file.path, "claims more samples than it can hold; it is damaged. Copy or download it again.")
    values = np.empty(shape, np.complex64)
    with _opened(file) as opened:
        read_into(values, heaps.Samples(opened, file.path, file.base), lines, file.path)
    return values


def read_into(values: NDArray[np.complex64], samples: heaps.Samples, lines: NDArray[Any], path: Path) -> None:
    """Fill ``(readout, coil, sample)`` with the samples of as many readouts.

    Parameters
    ----------
    values
        What to fill.
    samples
        Heaps of the open file.
    lines
        The readouts.
    path
        The file, for messages.

    Raises
    ------
    FileError
        If a readout has another number of samples, or they are not where they should be.
    """
    shape = values.shape[1:]
    n_values = 2 * shape[0] * shape[1]
    table = [lines[name].tolist() for name in ("n_values", "address", "number")]
    # In the order of the file: neighbours often share a heap.
    for one in np.argsort(lines["address"], kind="stable").tolist():
        stored, address, number = (column[one] for column in table)
        if stored != n_values:
            raise FileError(
                path,
                f"a readout of {shape[1]} samples from {shape[0]} coils holds {stored} numbers instead of {n_values}; "
                "it is damaged. Copy or download it again.",
            )
        values[one] = np.frombuffer(samples.read(address, number, 4 * n_values), "<c8").reshape(shape)


def _transform(n_partitions: int, place: int) -> NDArray[np.complex64]:
    """Weights of the partitions in the centred orthonormal inverse Fourier transform, for one slice."""
    centre = n_partitions // 2
    turns = (np.arange(n_partitions) - centre) * (place - centre) / n_partitions
    return np.asarray(np.exp(2j * np.pi * turns) / np.sqrt(n_partitions), np.complex64)


def _blocks(lines: NDArray[Any], line_bytes: int) -> list[slice]:
    """Readouts that are read together: of one turn, and not too many."""
    n_most = max(_BLOCK_BYTES // line_bytes, 1)
    begins = np.flatnonzero(np.diff(lines["turn"], prepend=-1)).tolist()
    return [
        slice(first, min(first + n_most, end))
        for begin, end in zip(begins, [*begins[1:], len(lines)], strict=True)
        for first in range(begin, end, n_most)
    ]


@contextlib.contextmanager
def _opened(file: File) -> Iterator[BinaryIO]:
    """The file, if it is still the one that was opened; what the system stumbles over becomes a FileError."""
    try:
        with file.path.open("rb") as opened:
            stamps.check(file.path, file.stamp, opened.fileno())
            yield opened
    except OSError as error:
        raise stamps.unreadable(file.path, error) from None
