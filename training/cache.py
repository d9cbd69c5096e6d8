"""Compressed coils on disk: what a measured slice is brought to before it is undersampled, made once.

Reading an array of coils and bringing it to the grid of the reconstruction takes longer than all the rest of a sample.
The cache holds each slice on that grid, pre-whitened and compressed to twice the coils that the network takes, in
half precision: the network's own compression, which depends on the mask, still happens in `recon.pipeline.prepare`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from recon.coils import compress
from recon.errors import ExportError
from recon.export.atomic import atomic_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

# Changes when entries of old no longer mean the same.
_VERSION = 1
# Half precision reaches from 6e-5 to 65504: with the largest value here, a value has all its 11 bits down to 4e-9 of
# the largest one, far below any noise. On scans of 1 to 32 coils the images stay within 86 to 98 dB of those without
# the cache, so that half the disk and half the reading cost nothing.
_LARGEST = 2.0**14
# Compressed to the network's own number before the mask is known, images would be off by 45 to 64 dB (4 coils of a
# 16-coil brain scan at 8x and 4x); with twice as many, by 69 to 79 dB.
_MIN_COILS = 8
# Share of the free disk that may be filled.
_FREE_SHARE = 0.9
_STALE_SECONDS = 3600.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """The slices of one scan in the cache.

    Attributes
    ----------
    key
        Identity of file and settings; names the folder.
    n_coils
        Coils that are stored.
    n_slices
        The first so many slices are kept: what fits into the cache is known before it is filled.
    """

    key: str
    n_coils: int
    n_slices: int


def stored_coils(n_coils: int, n_network: int) -> int:
    """Return how many virtual coils are stored for a scan: enough that the network's own are among them."""
    return min(n_coils, max(2 * n_network, _MIN_COILS))


def identify(path: Path, settings: dict[str, object]) -> str:
    """Return a name for what is made of a file with these settings; another file or other settings, another name."""
    facts = path.stat()
    identity = [_VERSION, str(path.resolve()), facts.st_size, facts.st_mtime_ns, sorted(settings.items())]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]


class SliceCache:
    """A folder of slices; several processes may read and fill it at once.

    Parameters
    ----------
    folder
        Where; made when it is needed.
    limit_bytes
        Most bytes in it.

    Raises
    ------
    ExportError
        If the folder cannot be written.
    """

    def __init__(self, folder: Path, limit_bytes: float) -> None:
        self.folder = folder / "kspace"
        self.limit_bytes = limit_bytes
        self._works = True
        # What cannot be written is said now, not by a worker in an hour.
        with atomic_file(folder / "read-me.txt") as temporary:
            temporary.write_text("Made by a training run to start faster; may be deleted at any time.\n", "utf-8")

    def allot(self, scans: Iterable[tuple[str, int, int, tuple[int, int]]]) -> list[Entry]:
        """Decide which slices the cache will hold, and delete what others left where room is needed.

        Every process decides alike, so nobody has to count while it is filled.

        Parameters
        ----------
        scans
            Key, slices, stored coils and matrix of each scan.

        Returns
        -------
        An entry for each scan.
        """
        scans = list(scans)
        self._sweep()
        wanted = {key for key, *_ in scans}
        # A slice in the archive needs some bytes more than its numbers.
        sizes = [4 * n_coils * rows * columns + 1024 for _, _, n_coils, (rows, columns) in scans]
        need = sum(n_slices * size for (_, n_slices, *_), size in zip(scans, sizes, strict=True))
        present = {path: _n_bytes(path) for path in self.folder.iterdir()} if self.folder.is_dir() else {}
        mine = sum(size for path, size in present.items() if path.name in wanted)
        disk = shutil.disk_usage(self.folder.parent).free * _FREE_SHARE + mine
        room = min(self.limit_bytes, disk)
        others = sorted((path for path in present if path.name not in wanted), key=lambda path: path.stat().st_mtime)
        theirs = sum(present[path] for path in others)
        for path in others:
            if theirs + min(need, room) <= self.limit_bytes:
                break
            shutil.rmtree(path, ignore_errors=True)
            theirs -= present[path]
        entries = []
        for (key, n_slices, n_coils, _), size in zip(scans, sizes, strict=True):
            fits = max(0, min(n_slices, int(room // size)))
            room -= fits * size
            entries.append(Entry(key, n_coils, fits))
        return entries

    def _sweep(self) -> None:
        """Delete what writers that were killed left behind."""
        for path in self.folder.glob("*/.*.partial*"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                    path.unlink()

    def get(self, entry: Entry, index: int, make: Callable[[], Tensor]) -> Tensor:
        """Return a slice, from the cache or made and then kept.

        Parameters
        ----------
        entry
            The scan.
        index
            Slice.
        make
            Makes the slice, complex64 ``(coil, y, x)``, with all its coils.

        Returns
        -------
        complex64 ``(coil, y, x)`` with the stored number of coils and in half precision, whether it was there or not.
        """
        if index >= entry.n_slices:
            # Nobody can tell by the samples how large the cache is.
            return unpack(*pack(make(), entry.n_coils))
        path = self.folder / entry.key / f"{index:04d}.npz"
        packed = _load(path)
        if packed is None:
            packed = pack(make(), entry.n_coils)
            self._store(path, packed)
        return unpack(*packed)

    def _store(self, path: Path, packed: tuple[NDArray[np.float16], float]) -> None:
        if not self._works:
            return
        try:
            with atomic_file(path) as temporary, temporary.open("wb") as file:
                np.savez(file, parts=packed[0], scale=np.float64(packed[1]))
        except ExportError as error:
            self._works = False
            _log.warning("%s Training goes on without it.", error)


def pack(kspace: Tensor, n_coils: int) -> tuple[NDArray[np.float16], float]:
    """Compress coils, and return real and imaginary parts as float16 ``(2, coil, y, x)`` with what they are times."""
    if n_coils < kspace.shape[0]:
        kspace, _ = compress(kspace, n_coils)
    parts = torch.view_as_real(kspace).movedim(-1, 0)
    # A power of two takes nothing from any number.
    scale = 2.0 ** float(torch.log2(parts.abs().amax() / _LARGEST).ceil())
    return (parts / scale).to(torch.float16).contiguous().numpy(), scale


def unpack(parts: NDArray[np.float16], scale: float) -> Tensor:
    """Return complex64 k-space of what `pack` made."""
    real, imaginary = torch.from_numpy(parts).float() * scale
    return torch.complex(real, imaginary)


def _load(path: Path) -> tuple[NDArray[np.float16], float] | None:
    """What is stored; None where nothing is, or where it is damaged: it is then made again."""
    try:
        # numpy leaves a damaged archive open; the file is closed here.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return archive["parts"], float(archive["scale"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _n_bytes(folder: Path) -> int:
    try:
        return sum(path.stat().st_size for path in folder.iterdir())
    except OSError:  # another process clears up
        return 0
