"""K-space that is made of magnitude images as they are read, whichever file the images lie in."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from recon.errors import RequestError, SliceError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from recon.simulate import SimulationSpec


SMALLEST_SIDE = 16
"""Rows and columns that an image needs at least to have k-space simulated from it."""
RESULT_NOTE = "It is a result that this program exported: a reconstruction, not a measured image."


class Frame(Protocol):
    """One image and what is known of it before it is read."""

    @property
    def path(self) -> Path:
        """File that it lies in."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """``(rows, columns)``."""
        ...

    @property
    def key(self) -> str:
        """Names the image wherever its file lies."""
        ...

    @property
    def typical_maximum(self) -> float:
        """A large value of the images of its series; 0 where the file does not say."""
        ...


@dataclass(frozen=True)
class Plane:
    """One image of a file that holds many and names none.

    Attributes
    ----------
    path
        The file.
    number
        Place along the axis of the slices.
    size
        ``(rows, columns)`` as they are shown.
    typical_maximum
        Largest value of the middle slice of the first volume.
    volume
        Which of the file's volumes.
    """

    path: Path
    number: int
    size: tuple[int, int]
    typical_maximum: float
    volume: int = 0

    @property
    def key(self) -> str:
        """Names the image wherever its file lies."""
        return f"{self.path.name}/{self.volume}/{self.number}"


class SimulatedSource(ABC):
    """Reads one image and makes the k-space that a scanner might have measured of it.

    Attributes
    ----------
    frames
        Images in slice order.
    simulation
        How k-space is made.
    """

    def __init__(self, frames: Sequence[Frame], simulation: SimulationSpec) -> None:
        self.frames, self.simulation = tuple(frames), simulation
        # A slice is asked for its k-space, then for its reference: one simulation serves both.
        self._latest: tuple[int, NDArray[np.float32]] | None = None

    @abstractmethod
    def image(self, index: int) -> NDArray[np.float32]:
        """Return the magnitude ``(y, x)`` that the file holds."""

    def volume(self) -> NDArray[np.float32]:
        """Return all magnitudes ``(slices, y, x)`` at once."""
        return np.stack([self.image(index) for index in range(len(self.frames))])

    def kspace(self, index: int) -> NDArray[np.complex64]:
        """Return simulated k-space ``(coil, y, x)``; the same for the same file and settings."""
        kspace, reference = self._simulate(index)
        self._latest = (index, reference)
        return kspace

    def reference(self, index: int) -> NDArray[np.float32]:
        """Return the fully sampled image ``(y, x)`` of the simulated coils."""
        latest = self._latest
        return latest[1].copy() if latest is not None and latest[0] == index else self._simulate(index)[1]

    def _simulate(self, index: int) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
        import torch

        from recon.simulate import simulate_slice

        frame = self.frames[index]
        image = self.image(index)
        if not image.max() > 0:
            return self._air(index)
        try:
            kspace, reference = simulate_slice(torch.from_numpy(image), self.simulation, frame.key)
        except RequestError as error:
            raise SliceError(frame.path, index, f"gives no k-space: {error}") from error
        return np.asarray(kspace.numpy(), np.complex64), np.asarray(reference.numpy(), np.float32)

    def _air(self, index: int) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
        """What a scanner records beside the head: noise alone. Blank slices at the ends of a volume are common."""
        import torch

        from recon.fourier import ifft2c

        frame, spec = self.frames[index], self.simulation
        sigma = spec.noise * frame.typical_maximum
        if sigma <= 0:
            raise SliceError(frame.path, index, "is blank: no pixel is above 0. Leave this slice out.")
        rng = np.random.default_rng([spec.seed, zlib.crc32(frame.key.encode())])
        parts = rng.standard_normal((2, spec.n_coils, *frame.size), np.float32) * np.float32(sigma)
        kspace = np.asarray(parts[0] + 1j * parts[1], np.complex64)
        coil_images = ifft2c(torch.from_numpy(kspace)).numpy()
        return kspace, np.asarray(np.sqrt((np.abs(coil_images) ** 2).sum(axis=0)), np.float32)
