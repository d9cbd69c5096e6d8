"""The shapes that the brain phantom is made of: ellipses and soft blobs, whose Fourier transforms are known formulas.

The head is drawn in millimetres, x to the right of the array and y towards its last row. Anterior is +y, so that the
array is upside down in the way fastMRI's arrays are and views flip it upright.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Relative signal of a T2-weighted turbo spin echo.
_SCALP, _SKULL, CSF, _GREY, _WHITE, _DEEP_GREY, _LESION = 0.62, 0.06, 1.0, 0.60, 0.42, 0.52, 0.86
# Half-axes of the head at its widest slice; everything else is drawn relative to it.
HEAD_MM = (76.0, 94.0)


@dataclass(frozen=True)
class Ellipse:
    """A uniform ellipse with an edge as soft as the partial volume of half a pixel.

    Attributes
    ----------
    x_mm, y_mm
        Centre.
    half_x_mm, half_y_mm
        Half-axes before the turn.
    angle_deg
        Turn from +x towards +y.
    signal
        Added to what lies below.
    """

    x_mm: float
    y_mm: float
    half_x_mm: float
    half_y_mm: float
    angle_deg: float
    signal: float

    def transform(self, x_per_mm: NDArray[np.float64], y_per_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the Fourier integral of the centred ellipse at frequencies in cycles per millimetre."""
        cosine, sine = np.cos(np.radians(self.angle_deg)), np.sin(np.radians(self.angle_deg))
        along = self.half_x_mm * (cosine * x_per_mm + sine * y_per_mm)
        across = self.half_y_mm * (cosine * y_per_mm - sine * x_per_mm)
        area = np.pi * self.half_x_mm * self.half_y_mm
        return self.signal * area * 2.0 * bessel_j1_over_x(2.0 * np.pi * np.hypot(along, across))

    def value(self, x_mm: NDArray[np.float64], y_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the signal at points."""
        cosine, sine = np.cos(np.radians(self.angle_deg)), np.sin(np.radians(self.angle_deg))
        along = (cosine * (x_mm - self.x_mm) + sine * (y_mm - self.y_mm)) / self.half_x_mm
        across = (cosine * (y_mm - self.y_mm) - sine * (x_mm - self.x_mm)) / self.half_y_mm
        return np.where(along**2 + across**2 <= 1.0, self.signal, 0.0)


@dataclass(frozen=True)
class Blob:
    """A round Gaussian blob: soft tissue texture.

    Attributes
    ----------
    x_mm, y_mm
        Centre.
    sigma_mm
        Standard deviation.
    signal
        Added to what lies below, at the centre.
    """

    x_mm: float
    y_mm: float
    sigma_mm: float
    signal: float

    def transform(self, x_per_mm: NDArray[np.float64], y_per_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the Fourier integral of the centred blob at frequencies in cycles per millimetre."""
        variance = self.sigma_mm**2
        return 2.0 * np.pi * variance * self.signal * np.exp(-2.0 * np.pi**2 * variance * (x_per_mm**2 + y_per_mm**2))

    def value(self, x_mm: NDArray[np.float64], y_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the signal at points."""
        distance = (x_mm - self.x_mm) ** 2 + (y_mm - self.y_mm) ** 2
        return self.signal * np.exp(-distance / (2.0 * self.sigma_mm**2))


Shape = Ellipse | Blob


def bessel_j1_over_x(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return J1(x) / x for x >= 0, to about 1e-7.

    numpy has no Bessel function and this file must not need scipy or torch.

    References
    ----------
    Abramowitz and Stegun, Handbook of Mathematical Functions, 9.4.4 and 9.4.6.
    """
    x = np.asarray(x, np.float64)
    square = np.minimum(x / 3.0, 1.0) ** 2
    near = np.polynomial.polynomial.polyval(
        square, (0.5, -0.56249985, 0.21093573, -0.03954289, 0.00443319, -0.00031761, 0.00001109)
    )
    safe = np.maximum(x, 3.0)
    inverse = 3.0 / safe
    amplitude = np.polynomial.polynomial.polyval(
        inverse, (0.79788456, 0.00000156, 0.01659667, 0.00017105, -0.00249511, 0.00113653, -0.00020033)
    )
    angle = safe + np.polynomial.polynomial.polyval(
        inverse, (-2.35619449, 0.12499612, 0.00005650, -0.00637879, 0.00074348, 0.00079824, -0.00029166)
    )
    far = amplitude * np.cos(angle) / (safe * np.sqrt(safe))
    return np.asarray(np.where(x < 3.0, near, far))


def brain(height_mm: float, seed: int = 7) -> tuple[Shape, ...]:
    """Return the shapes of an axial slice through the head.

    Parameters
    ----------
    height_mm
        Height above the level of the basal ganglia; the head is an ellipsoid, so slices shrink towards the vertex.
    seed
        Seed of the cortical folds, the texture and the lesions.
    """
    shrink = float(np.sqrt(max(1.0 - ((height_mm + 8.0) / 82.0) ** 2, 0.08)))
    head_x, head_y = HEAD_MM[0] * shrink, HEAD_MM[1] * shrink
    shapes: list[Shape] = [
        Ellipse(0, 0, head_x, head_y, 0, _SCALP),
        Ellipse(0, 0, head_x - 5.0, head_y - 5.0, 0, _SKULL - _SCALP),
        # Marrow between the tables of the skull.
        Ellipse(0, 0, head_x - 6.8, head_y - 6.8, 0, 0.3 - _SKULL),
        Ellipse(0, 0, head_x - 8.2, head_y - 8.2, 0, _SKULL - 0.3),
        Ellipse(0, 0, head_x - 10.0, head_y - 10.0, 0, CSF - _SKULL),
        Ellipse(0, 0, head_x - 12.0, head_y - 12.0, 0, _GREY - CSF),
        Ellipse(0, 0, head_x - 15.5, head_y - 15.5, 0, _WHITE - _GREY),
    ]
    rng = np.random.default_rng([seed, round(height_mm * 10) + 10_000])
    shapes += _cortex(head_x - 12.0, head_y - 12.0, rng)
    shapes += _midline(head_y - 11.0, height_mm)
    shapes += _ventricles(height_mm)
    shapes += _texture(head_x - 18.0, head_y - 18.0, rng)
    shapes += _lesions(height_mm)
    return tuple(shapes)


def _cortex(half_x_mm: float, half_y_mm: float, rng: np.random.Generator) -> list[Shape]:
    """Return sulci: a fold of grey matter that reaches inwards from the cortical ribbon, with fluid in its middle."""
    circumference_mm = np.pi * (half_x_mm + half_y_mm)
    n_folds = max(int(circumference_mm / 12.5), 4)
    shapes: list[Shape] = []
    for turn in (np.arange(n_folds) + 0.5 + rng.uniform(-0.22, 0.22, n_folds)) * 2.0 * np.pi / n_folds:
        if abs(np.cos(turn)) < 0.1:
            continue  # the fissure between the hemispheres lies here
        edge = np.array([half_x_mm * np.cos(turn), half_y_mm * np.sin(turn)])
        normal = np.array([np.cos(turn) / half_x_mm, np.sin(turn) / half_y_mm])
        normal /= np.linalg.norm(normal)
        lean = np.degrees(np.arctan2(normal[1], normal[0])) + rng.uniform(-22, 22)
        inwards = -np.array([np.cos(np.radians(lean)), np.sin(np.radians(lean))])
        depth = rng.uniform(9.0, 19.0) * min(half_x_mm / 60.0, 1.0)
        fold = edge + inwards * (3.3 + depth / 2.0)
        shapes.append(Ellipse(fold[0], fold[1], depth / 2.0, rng.uniform(2.4, 3.4), lean, _GREY - _WHITE))
        fluid = edge + inwards * (depth * 0.42)
        shapes.append(Ellipse(fluid[0], fluid[1], depth * 0.42, rng.uniform(0.5, 1.0), lean, CSF - _GREY))
        # A vein on every other fold: a flow void of about one pixel.
        if rng.uniform() < 0.4:
            vein = edge + inwards * rng.uniform(-0.6, 0.6)
            shapes.append(Ellipse(vein[0], vein[1], 0.8, 0.8, 0, -0.75 * _GREY))
    return shapes


def _midline(half_y_mm: float, height_mm: float) -> list[Shape]:
    """Return the fissure between the hemispheres: one long one above the ventricles, two short ones beside them."""
    if height_mm > 34:
        return [
            Ellipse(0, 0, 3.6, half_y_mm * 0.97, 0, _GREY - _WHITE),
            Ellipse(0, 0, 1.1, half_y_mm * 0.96, 0, CSF - _GREY),
        ]
    reach = half_y_mm - 37.0 + max(height_mm, 0.0) * 0.35
    shapes: list[Shape] = []
    for side in (1.0, -1.0):
        centre = side * (half_y_mm - reach / 2.0)
        shapes.append(Ellipse(0, centre, 3.4, reach / 2.0, 0, _GREY - _WHITE))
        shapes.append(Ellipse(0, centre, 1.0, reach / 2.0, 0, CSF - _GREY))
    return shapes


def _ventricles(height_mm: float) -> list[Shape]:
    """Return the ventricles and the deep grey matter around them."""
    shapes: list[Shape] = []
    size = float(np.clip(1.0 - ((height_mm - 8.0) / 27.0) ** 2, 0.0, 1.0)) ** 0.5
    ganglia = float(np.clip(1.0 - (height_mm / 24.0) ** 2, 0.0, 1.0)) ** 0.5
    for side in (1.0, -1.0):
        if size > 0.2:
            body = Ellipse(side * 8.5, 2.0, 4.2 * size, 25.0 * size, side * 9.0, CSF - _WHITE)
            horn = Ellipse(side * 18.0, -33.0 * size, 3.4 * size, 8.0 * size, -side * 38.0, CSF - _WHITE)
            shapes += [body, horn] if height_mm < 20 else [body]
        if ganglia > 0.25:
            step = _DEEP_GREY - _WHITE
            shapes.append(Ellipse(side * 17.5, 15.0, 4.0 * ganglia, 9.5 * ganglia, side * 14.0, step))
            shapes.append(Ellipse(side * 27.0, 5.0, 5.0 * ganglia, 14.0 * ganglia, side * 12.0, step * 0.8))
            shapes.append(Ellipse(side * 22.0, -17.0, 6.0 * ganglia, 9.5 * ganglia, side * 8.0, step))
    if height_mm < 16 and ganglia > 0.25:
        for side in (1.0, -1.0):
            # The Sylvian fissure, with the insula on its inner bank.
            shapes.append(Ellipse(side * 43.0, 10.0, 3.2, 15.0 * ganglia, side * 14.0, _GREY - _WHITE))
            shapes.append(Ellipse(side * 44.0, 10.0, 0.9, 14.0 * ganglia, side * 14.0, CSF - _GREY))
    if height_mm < 12 and ganglia > 0.25:
        shapes.append(Ellipse(0, -9.0, 1.6, 10.0, 0, CSF - _WHITE))
    return shapes


def _texture(half_x_mm: float, half_y_mm: float, rng: np.random.Generator) -> list[Shape]:
    """Return faint soft variation of the white matter."""
    shapes: list[Shape] = []
    for _ in range(26):
        radius, turn = np.sqrt(rng.uniform(0, 0.72)), rng.uniform(0, 2 * np.pi)
        x_mm, y_mm = half_x_mm * radius * np.cos(turn), half_y_mm * radius * np.sin(turn)
        shapes.append(Blob(x_mm, y_mm, rng.uniform(3.0, 9.0), rng.normal(0.0, 0.016)))
    return shapes


def _lesions(height_mm: float) -> list[Shape]:
    """Return lesions: plaques of falling size beside the ventricles, and a mass with oedema on one side.

    What a reconstruction loses first is the smallest plaque; that is what they are there for.
    """
    contrast = _LESION - _WHITE
    shapes: list[Shape] = []
    if 3.0 <= height_mm <= 27.0:
        for order, half_mm in enumerate((3.0, 2.2, 1.6, 1.1, 0.8)):
            shapes.append(Ellipse(-36.0 + 1.5 * order, 24.0 - 11.0 * order, half_mm, half_mm * 0.75, 35.0, contrast))
    mass = 1.0 - ((height_mm - 20.0) / 15.0) ** 2
    if mass > 0.1:
        size = float(np.sqrt(mass))
        shapes += [
            Blob(33.0, -36.0, 7.0 * size, 0.22),
            Ellipse(33.0, -36.0, 7.5 * size, 6.2 * size, 20.0, 0.18),
            Ellipse(34.0, -36.5, 3.0 * size, 2.4 * size, -15.0, 0.22),
        ]
    return shapes
