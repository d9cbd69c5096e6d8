"""Magnitude images to plausible multi-coil k-space: coils, object phase, noise.

Everything made here is simulated and every result has to say so: a magnitude image has lost its phase, its noise is
no longer Gaussian, and it was filtered and interpolated by the scanner, which makes it easier than raw data.

Coils are rings of circular loops around the head whose fields follow Biot-Savart; the object phase is a smooth field
with a linear part (echo shift), local off-resonance near air, and a part that follows the contrast; noise is complex
and white in every coil. torch is imported on use, so that a `SimulationSpec` costs nothing.
"""

from __future__ import annotations

import json
import math
import zlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recon.data import Header
from recon.errors import ExportError, RequestError
from recon.export import fastmri
from recon.values import real, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.random import Generator
    from numpy.typing import NDArray
    from torch import Tensor

    from recon.io.images import Images

# Fields are smooth: they are computed on a coarse grid and interpolated.
_COARSE = 24
_N_SEGMENTS = 16
# Letters of the names of images that a file is simulated from; of more, it says how many images they are.
_LONGEST_NAMES = 200


@dataclass(frozen=True)
class SimulationSpec:
    """How k-space is made from magnitude images, in the user's words.

    Attributes
    ----------
    n_coils
        Number of receive coils; 1 gives single-coil data with a flat sensitivity.
    phase
        Strength of the object phase: 0 none, 1 typical of a spin echo, 3 a gradient echo near the sinuses.
    noise
        Standard deviation of the noise in each coil image, of the real and of the imaginary part each, as a fraction
        of the image maximum.
    seed
        Same seed, same coils, phase and noise.
    origin
        What the k-space is made from.
    """

    n_coils: int = 4
    phase: float = 1.0
    noise: float = 0.005
    seed: int = 0
    origin: str = "magnitude images"

    def __post_init__(self) -> None:
        for name, convert in (("n_coils", whole), ("phase", real), ("noise", real), ("seed", whole)):
            object.__setattr__(self, name, convert(getattr(self, name), f"the simulation's {name}"))
        if not 1 <= self.n_coils <= 128:
            raise RequestError(f"a simulation with {self.n_coils} coils was asked for; choose 1 to 128.")
        for name in ("phase", "noise"):
            value = getattr(self, name)
            if not (math.isfinite(value) and 0 <= value <= 100):
                raise RequestError(f"simulated {name} is {value}; give a number from 0 upward.")
        if self.seed < 0:
            raise RequestError(f"the simulation's seed is {self.seed}; give a whole number from 0.")

    @property
    def sentence(self) -> str:
        """What the user must be told."""
        return (
            f"k-space is simulated from {self.origin} ({self.n_coils} coil{'s' if self.n_coils > 1 else ''}, "
            f"phase {self.phase:g}, noise {self.noise:.4g}, seed {self.seed})"
        )

    @property
    def note(self) -> str:
        """The same as a sentence of its own."""
        return f"{self.sentence[:1].upper()}{self.sentence[1:]}."

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        return asdict(self)

    def to_json(self) -> str:
        """Return the text that a file of simulated k-space carries in its attribute ``simulation``."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> SimulationSpec | None:
        """Read that text; None where it is something else."""
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError, RequestError):
            return None


def simulate_slice(image: Tensor, spec: SimulationSpec, slice_key: str) -> tuple[Tensor, Tensor]:
    """Make the k-space that a scanner might have measured of one magnitude image.

    Coils and phase depend on the seed alone, so they are the same in every slice of a series; noise differs.

    Parameters
    ----------
    image
        Magnitude ``(y, x)``, any positive scale.
    spec
        Coils, phase, noise and seed.
    slice_key
        Names the slice; with the seed it fixes the noise.

    Returns
    -------
    complex64 k-space ``(coil, y, x)`` and the float32 reference ``(y, x)``: the root sum of squares of the fully
    sampled, noisy coil images, as for a real scan.
    """
    import torch

    size = (image.shape[-2], image.shape[-1])
    rng = np.random.default_rng([spec.seed, 1])
    maps = coil_maps(rng, spec.n_coils, size)
    phase = spec.phase * smooth_phase(rng, size)
    noise = np.random.default_rng([spec.seed, zlib.crc32(slice_key.encode())])
    peak = float(image.max())
    if not peak > 0:
        raise RequestError(f"the image of slice {slice_key} is empty, so no k-space can be simulated from it.")
    return assemble(torch.as_tensor(image, dtype=torch.float32), maps, phase, spec.noise * peak, noise)


def write(
    path: Path, images: Sequence[Images], spec: SimulationSpec, show: Callable[[str, float], None] | None = None
) -> Path:
    """Write a volume of simulated k-space as a fastMRI-style HDF5 file, under a temporary name until it is whole.

    Parameters
    ----------
    path
        File to write.
    images
        Slices of the volume, as `recon.io.images.read_images` reads them; the first ones say how large a pixel is.
    spec
        How k-space is made.
    show
        Called with the slice that is done and the share of all that are.

    Raises
    ------
    RequestError
        If the images differ in size.
    ExportError
        If the file cannot be written.
    """
    import torch

    _check_sizes(images)
    if any(item.path.exists() and path.exists() and item.path.samefile(path) for item in images):
        raise ExportError(f"{path}: is one of the images; choose another name for the result.")
    volume = np.concatenate([item.slices for item in images])
    n_slices, n_y, n_x = volume.shape

    def slices() -> Iterator[tuple[NDArray[np.complex64], NDArray[np.float32]]]:
        for index, image in enumerate(volume):
            samples, reference = simulate_slice(torch.from_numpy(image), spec, str(index))
            yield samples.numpy(), reference.numpy()
            if show is not None:
                show(f"slice {index}", (index + 1) / n_slices)

    names = ", ".join(item.name for item in images)
    if len(names) > _LONGEST_NAMES:
        names = f"{len(images)} image{'s' if len(images) > 1 else ''}"
    header = Header(
        acquisition="SIMULATED",
        vendor="mri-workstation",
        scanner="simulated k-space",
        patient_id=path.stem,
        encoded_fov_mm=_field_of_view(images[0]),
        source=f"simulated from {names}",
    )
    attributes = {"flip_rows": False, "simulation": spec.to_json()}
    return fastmri.write(path, (n_slices, spec.n_coils, n_y, n_x), slices(), header, attributes)


def _field_of_view(images: Images) -> tuple[float, float, float] | None:
    """Of the readout, the phase encodes and a slice; pictures do not say how large a pixel is."""
    if images.pixel_spacing_mm is None:
        return None
    (row_mm, column_mm), (n_y, n_x) = images.pixel_spacing_mm, images.slices.shape[1:]
    return n_y * row_mm, n_x * column_mm, images.thickness_mm or 0.0


def _check_sizes(images: Sequence[Images]) -> None:
    wanted = images[0].slices.shape[1:]
    for item in images:
        have = item.slices.shape[1:]
        if have != wanted:
            raise RequestError(
                f"{item.path} has {have[0]} × {have[1]} pixels and {images[0].path} has {wanted[0]} × {wanted[1]}; "
                "the slices of a volume have one size. Simulate them one by one."
            )


def assemble(
    image: Tensor, maps: NDArray[np.complex64], phase: NDArray[np.float32], noise_sigma: float, rng: Generator
) -> tuple[Tensor, Tensor]:
    """Combine image, coil maps, phase and noise to k-space and its reference.

    Parameters
    ----------
    image
        Magnitude ``(y, x)``.
    maps
        Coil sensitivities ``(coil, y, x)``.
    phase
        Object phase ``(y, x)`` in radians.
    noise_sigma
        Standard deviation of the noise in a coil image, of the real and of the imaginary part each.
    rng
        Source of the noise.
    """
    import torch

    from recon.coils import root_sum_of_squares
    from recon.fourier import fft2c

    weighted = torch.from_numpy(maps) * torch.polar(image, torch.from_numpy(phase))
    if noise_sigma > 0:
        noise = rng.standard_normal((2, *weighted.shape), dtype=np.float32)
        weighted = weighted + noise_sigma * torch.complex(torch.from_numpy(noise[0]), torch.from_numpy(noise[1]))
    return fft2c(weighted), root_sum_of_squares(weighted, dim=0)


def coil_maps(rng: Generator, n_coils: int, size: tuple[int, int]) -> NDArray[np.complex64]:
    """Return sensitivities ``(coil, y, x)`` of loops around the object, with a root sum of squares of 1 on average.

    Loops sit on one or two elliptic rings; their distance, radius, tilt, gain and phase vary. A single coil is flat.
    """
    if n_coils == 1:
        return np.ones((1, *size), np.complex64)
    rows, columns = size
    extent = np.array([rows, columns]) / max(rows, columns)
    n_rings = 1 if n_coils < 12 or rng.random() < 0.4 else 2
    distance = rng.uniform(1.05, 1.9)
    squash = rng.uniform(0.8, 1.25)
    start = rng.uniform(0, 2 * np.pi)
    angle = start + 2 * np.pi * (np.arange(n_coils) + rng.uniform(-0.25, 0.25, n_coils)) / n_coils * n_rings
    ring = np.arange(n_coils) * n_rings // n_coils
    height = (ring - 0.5 * (n_rings - 1)) * rng.uniform(0.5, 1.0) + rng.normal(0, 0.12, n_coils)
    # Neighbours touch: the radius follows from the arc that a loop has for itself.
    radius = np.clip(np.pi * distance / (n_coils / n_rings) * rng.uniform(0.8, 1.4), 0.15, 0.8)
    centre = np.stack([distance * squash * np.cos(angle), distance / squash * np.sin(angle), height], axis=1)
    tilt = angle + rng.normal(0, 0.15, n_coils)
    y, x = (np.linspace(-side, side, _COARSE) for side in extent)
    field = _loop_fields(centre, tilt, radius, y, x)
    gain = rng.uniform(0.7, 1.3, n_coils) * np.exp(2j * np.pi * rng.random(n_coils))
    field *= gain[:, None, None]
    # Scanners differ in how much of the surface coils' shading they leave in the picture.
    energy = np.sqrt(np.sum(np.abs(field) ** 2, axis=0))
    field /= energy ** rng.uniform(0, 0.9)
    field /= np.sqrt(np.mean(np.sum(np.abs(field) ** 2, axis=0)))
    return resize(field, size).astype(np.complex64)


def _loop_fields(
    centre: NDArray[np.float64],
    tilt: NDArray[np.float64],
    radius: float,
    y: NDArray[np.float64],
    x: NDArray[np.float64],
) -> NDArray[np.complex64]:
    """Receive field Bx − iBy of circular loops, by Biot-Savart over straight segments; ``(coil, y, x)``."""
    turn = 2 * np.pi * np.arange(_N_SEGMENTS) / _N_SEGMENTS
    # A loop faces the object: its plane is spanned by the tangent of the ring and the axis of the cylinder.
    tangent = np.stack([-np.sin(tilt), np.cos(tilt), np.zeros_like(tilt)], axis=1)
    axis = np.array([0.0, 0.0, 1.0])
    ring = np.cos(turn)[None, :, None] * tangent[:, None] + np.sin(turn)[None, :, None] * axis
    points = centre[:, None] + radius * ring
    current = -np.sin(turn)[None, :, None] * tangent[:, None] + np.cos(turn)[None, :, None] * axis
    points, current = points.astype(np.float32), current.astype(np.float32)
    grid_y, grid_x = (axis.astype(np.float32) for axis in np.meshgrid(y, x, indexing="ij"))
    field = np.zeros((len(centre), *grid_y.shape), np.complex64)
    for segment in range(_N_SEGMENTS):
        dx = grid_x[None] - points[:, segment, 0, None, None]
        dy = grid_y[None] - points[:, segment, 1, None, None]
        dz = -points[:, segment, 2, None, None]
        # The floor keeps a loop that touches the field of view from having a pole inside it.
        inverse = (dx * dx + dy * dy + dz * dz + 0.02) ** -1.5
        lx, ly, lz = (current[:, segment, k, None, None] for k in range(3))
        field += ((ly * dz - lz * dy) - 1j * (lz * dx - lx * dz)) * inverse
    return field


def smooth_phase(rng: Generator, size: tuple[int, int]) -> NDArray[np.float32]:
    """Return a smooth object phase ``(y, x)`` in radians: constant, linear, low-order and local parts."""
    rows, columns = size
    y = np.linspace(-1, 1, _COARSE)[:, None] * rows / max(rows, columns)
    x = np.linspace(-1, 1, _COARSE)[None] * columns / max(rows, columns)
    phase = rng.uniform(-np.pi, np.pi) + rng.normal(0, 1.0) * y + rng.normal(0, 1.0) * x
    phase = phase + resize(rng.normal(0, 0.6, (1, 5, 5)), (_COARSE, _COARSE))[0]
    for _ in range(rng.integers(0, 4)):
        phase = phase + rng.normal(0, 1.0) * _blob(rng, y, x)
    return np.asarray(resize(phase[None], size)[0], np.float32)


def field_phase(rng: Generator, size: tuple[int, int]) -> NDArray[np.float32]:
    """Return the phase ``(y, x)`` of one to three narrow fields, of peak 1 rad each.

    Air cavities make them, as those above the sinuses: late gradient echoes show several turns within a few pixels.
    """
    rows, columns = size
    y = np.linspace(-1, 1, rows)[:, None] * rows / max(rows, columns)
    x = np.linspace(-1, 1, columns)[None] * columns / max(rows, columns)
    signs = rng.choice([-1.0, 1.0], rng.integers(1, 4))
    return np.asarray(sum(sign * _blob(rng, y, x, (0.08, 0.3)) for sign in signs), np.float32)


def _blob(
    rng: Generator,
    y: NDArray[np.float64],
    x: NDArray[np.float64],
    widths: tuple[float, float] = (0.12, 0.45),
) -> NDArray[np.float64]:
    """A local field such as the sinuses make: Gaussian, somewhere in the middle three quarters."""
    centre_y, centre_x = rng.uniform(-0.75, 0.75, 2)
    low, high = np.log(widths)
    width_y, width_x = np.exp(rng.uniform(low, high, 2))
    return np.asarray(np.exp(-0.5 * (((y - centre_y) / width_y) ** 2 + ((x - centre_x) / width_x) ** 2)))


def resize(stack: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Interpolate ``(n, y, x)`` to another size with cubic splines' smoothness; real or complex."""
    import torch

    def real(part: NDArray[Any]) -> NDArray[Any]:
        tensor = torch.from_numpy(np.ascontiguousarray(part, np.float32))[None]
        result = torch.nn.functional.interpolate(tensor, size, mode="bicubic", align_corners=True)
        return np.asarray(result[0].numpy())

    if np.iscomplexobj(stack):
        return real(stack.real) + 1j * real(stack.imag)
    return real(stack)
