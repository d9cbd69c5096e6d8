"""Analytic multi-slice brain phantom: k-space by formula, not by FFT of a drawn picture.

An ellipse has a closed Fourier transform (a jinc) and so has a Gaussian blob; a coil sensitivity that is a short sum
of Fourier modes only shifts it. The k-space of anatomy times coil is therefore exact for a continuous object: there is
no pixel grid in it, and a reconstruction cannot profit from one (no "inverse crime"). Complex white noise is added.

The anatomy stands in `recon.anatomy`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from recon.anatomy import CSF, HEAD_MM, brain
from recon.data import Header
from recon.errors import RequestError
from recon.export import fastmri
from recon.simulate import SimulationSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from recon.anatomy import Shape

SOURCE = "analytic phantom, simulated"
# Raised when the same settings draw something else, so that stored phantoms are made anew.
VERSION = 3

# fastMRI brain k-space is of this order; a pipeline that forgets to scale shows it at once.
_SIGNAL_SCALE = 4e-4


@dataclass(frozen=True)
class PhantomSpec:
    """What the phantom scan looks like.

    Attributes
    ----------
    n_slices, n_coils
        Number of slices and of receiver coils.
    matrix
        Samples ``(y, x)``.
    fov_mm
        Field of view ``(y, x)``.
    slice_thickness_mm
        Distance of the slices, without a gap.
    noise
        Standard deviation of the complex noise in each coil image, as a share of the signal of fluid; its real and its
        imaginary part have 1/√2 of it each.
    seed
        Seed of folds, texture, lesions and noise.
    """

    n_slices: int = 10
    n_coils: int = 8
    matrix: tuple[int, int] = (256, 256)
    fov_mm: tuple[float, float] = (216.0, 216.0)
    slice_thickness_mm: float = 6.0
    noise: float = 0.012
    seed: int = 7

    def __post_init__(self) -> None:
        if self.n_slices < 1 or self.n_coils < 1 or min(self.matrix) < 16:
            raise RequestError("a phantom needs at least one slice, one coil and a matrix of 16 × 16.")
        if min(self.fov_mm) <= 0 or self.slice_thickness_mm <= 0 or self.noise < 0:
            raise RequestError("a phantom needs a positive field of view and thickness, and noise of 0 or more.")

    @property
    def pixel_mm(self) -> tuple[float, float]:
        """Size of a pixel ``(y, x)``."""
        return self.fov_mm[0] / self.matrix[0], self.fov_mm[1] / self.matrix[1]

    @cached_property
    def heights_mm(self) -> NDArray[np.float64]:
        """Height of each slice above the level of the basal ganglia."""
        return np.asarray((np.arange(self.n_slices) - 0.4 * (self.n_slices - 1)) * self.slice_thickness_mm)


def transform(
    shapes: Sequence[Shape],
    x_per_mm: NDArray[np.float64],
    y_per_mm: NDArray[np.float64],
    edge_mm: float = 0.0,
) -> NDArray[np.complex128]:
    """Return the Fourier integral of a set of shapes on a grid of frequencies.

    Parameters
    ----------
    shapes
        Shapes whose signals add.
    x_per_mm, y_per_mm
        Frequencies along each axis, in cycles per millimetre.
    edge_mm
        Standard deviation of the blur of all edges.

    Returns
    -------
        complex128 ``(y, x)``.
    """
    grid_x, grid_y = x_per_mm[None, :], y_per_mm[:, None]
    total = np.zeros((y_per_mm.size, x_per_mm.size), np.complex128)
    for shape in shapes:
        # The shift of the centre separates into the axes: two short exponentials instead of one large one.
        along_x = np.exp(-2j * np.pi * x_per_mm * shape.x_mm)
        along_y = np.exp(-2j * np.pi * y_per_mm * shape.y_mm)
        total += shape.transform(grid_x, grid_y) * along_y[:, None] * along_x[None, :]
    if edge_mm:
        total *= np.exp(-2.0 * np.pi**2 * edge_mm**2 * (grid_x**2 + grid_y**2))
    return total


_ORDER = 5


def coil_modes(spec: PhantomSpec) -> NDArray[np.complex128]:
    """Return the coil sensitivities as coefficients of Fourier modes of the field of view.

    The loops of an array around the head are computed as small dipoles, given a smooth object phase, and fitted
    inside the head by the modes; from then on the modes *are* the sensitivities, so that nothing is approximated.

    Returns
    -------
        complex128 ``(coil, 2 · order + 1, 2 · order + 1)``, modes of y then of x.
    """
    rows, columns = (np.linspace(-0.5, 0.5, 48, endpoint=False) * fov for fov in spec.fov_mm)
    y_mm, x_mm = np.meshgrid(rows, columns, indexing="ij")
    inside = (x_mm / (HEAD_MM[0] + 3)) ** 2 + (y_mm / (HEAD_MM[1] + 3)) ** 2 <= 1.0
    x_in, y_in = x_mm[inside], y_mm[inside]
    phase = 0.9 * np.sin(x_in / 70.0 + 0.4) + 0.7 * np.cos(y_in / 60.0) + 0.5 * x_in * y_in / 60.0**2
    targets = []
    for turn in (np.arange(spec.n_coils) + 0.25) * 2.0 * np.pi / spec.n_coils:
        offset_x = x_in - (HEAD_MM[0] + 26.0) * np.cos(turn)
        offset_y = y_in - (HEAD_MM[1] + 26.0) * np.sin(turn)
        distance = offset_x**2 + offset_y**2 + 45.0**2
        # The transverse field of a loop turns with the direction towards it.
        field = (np.hypot(offset_x, offset_y) + 30.0) / distance**1.25
        targets.append(field * np.exp(1j * (np.arctan2(offset_y, offset_x) + phase)))
    modes = np.arange(-_ORDER, _ORDER + 1)
    waves_y = np.exp(2j * np.pi * y_in[:, None] * modes / spec.fov_mm[0])
    waves_x = np.exp(2j * np.pi * x_in[:, None] * modes / spec.fov_mm[1])
    design = (waves_y[:, :, None] * waves_x[:, None, :]).reshape(x_in.size, -1)
    # A little ridge keeps the modes from growing outside the head, where nothing constrains them.
    normal = design.conj().T @ design + 1e-3 * x_in.size * np.eye(design.shape[1])
    coefficients = np.linalg.solve(normal, design.conj().T @ np.stack(targets, axis=1)).T
    combined = np.sqrt((np.abs(coefficients @ design.T) ** 2).sum(axis=0))
    return np.asarray((coefficients / combined.mean()).reshape(spec.n_coils, modes.size, modes.size))


def coil_maps(spec: PhantomSpec, modes: NDArray[np.complex128] | None = None) -> NDArray[np.complex128]:
    """Return the coil sensitivities at the pixels ``(coil, y, x)``; root sum of squares about 1 in the head."""
    modes = coil_modes(spec) if modes is None else modes
    order = np.arange(-_ORDER, _ORDER + 1)
    waves = [np.exp(2j * np.pi * order[:, None] * _centred(n)[None, :] / n) for n in spec.matrix]
    return np.asarray(np.einsum("cab,ay,bx->cyx", modes, *waves, optimize=True))


def slice_kspace(spec: PhantomSpec, index: int, modes: NDArray[np.complex128] | None = None) -> NDArray[np.complex64]:
    """Return the noisy k-space of a slice, ``(coil, y, x)``, centred, in the scale of an orthonormal FFT.

    Parameters
    ----------
    spec
        The scan.
    index
        Slice.
    modes
        Result of `coil_modes`, where many slices share it.
    """
    modes = coil_modes(spec) if modes is None else modes
    n_y, n_x = spec.matrix
    pixel_y, pixel_x = spec.pixel_mm
    # A mode of the field of view shifts k-space by whole samples: one grid, wider by the order, serves all coils.
    wide_y, wide_x = (
        np.arange(-(n // 2) - _ORDER, n - n // 2 + _ORDER) / fov
        for n, fov in zip(spec.matrix, spec.fov_mm, strict=True)
    )
    shapes = brain(float(spec.heights_mm[index]), spec.seed)
    wide = transform(shapes, wide_x, wide_y, edge_mm=0.5 * min(pixel_y, pixel_x))
    kspace = np.zeros((spec.n_coils, n_y, n_x), np.complex128)
    for row in range(modes.shape[1]):
        for column in range(modes.shape[2]):
            # Multiplying by exp(2πi m r / FOV) moves k-space by m samples: value at k is the object's at k - m.
            top, left = 2 * _ORDER - row, 2 * _ORDER - column
            kspace += modes[:, row, column, None, None] * wide[top : top + n_y, left : left + n_x]
    kspace /= pixel_y * pixel_x * np.sqrt(n_y * n_x)
    rng = np.random.default_rng([spec.seed, index, 1])
    noise = rng.standard_normal((2, *kspace.shape)) * spec.noise * CSF / np.sqrt(2.0)
    return np.asarray((kspace + noise[0] + 1j * noise[1]) * _SIGNAL_SCALE, np.complex64)


def write(path: Path, spec: PhantomSpec | None = None, progress: Callable[[float], None] | None = None) -> Path:
    """Write the phantom as a fastMRI-style HDF5 file, under a temporary name until it is whole.

    Parameters
    ----------
    path
        File to write.
    spec
        The scan; default settings when None.
    progress
        Called with the share that is done.

    Raises
    ------
    ExportError
        If the file cannot be written.
    """
    spec = spec or PhantomSpec()
    modes = coil_modes(spec)

    def slices() -> Iterator[tuple[NDArray[np.complex64], NDArray[np.float32]]]:
        for index in range(spec.n_slices):
            samples = slice_kspace(spec, index, modes)
            yield samples, _root_sum_of_squares(samples)
            if progress is not None:
                progress((index + 1) / spec.n_slices)

    # Which tells the noise of the real and of the imaginary part.
    noise = spec.noise / np.sqrt(2.0)
    simulation = SimulationSpec(spec.n_coils, phase=0.0, noise=noise, seed=spec.seed, origin="an analytic phantom")
    attributes = {
        "flip_rows": True,
        "version": VERSION,
        "simulation": simulation.to_json(),
        "note": "Analytic brain phantom with simulated coils and noise; no person was scanned",
    }
    return fastmri.write(path, (spec.n_slices, spec.n_coils, *spec.matrix), slices(), header(spec), attributes)


def header(spec: PhantomSpec) -> Header:
    """Return what the phantom scan says of itself."""
    return Header(
        acquisition="AXT2",
        protocol="analytic brain phantom, T2",
        sequence_type="TurboSpinEcho",
        vendor="mri-workstation",
        scanner=SOURCE,
        field_strength_t=3.0,
        frequency_hz=127_728_000.0,
        repetition_time_ms=6000.0,
        echo_time_ms=103.0,
        flip_angle_deg=150.0,
        patient_position="HFS",
        patient_id="phantom",
        encoded_fov_mm=(*spec.fov_mm, spec.slice_thickness_mm),
        source=SOURCE,
        licence="Apache-2.0",
    )


def _centred(n: int) -> NDArray[np.int64]:
    return np.arange(n) - n // 2


def _root_sum_of_squares(kspace: NDArray[np.complex64]) -> NDArray[np.float32]:
    axes = (-2, -1)
    images = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace, axes=axes), norm="ortho"), axes=axes)
    return np.asarray(np.sqrt((np.abs(images) ** 2).sum(axis=0)), np.float32)
