"""GRAPPA: missing columns of k-space as weighted sums of their measured neighbours in all coils."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from recon.errors import ModelError
from recon.fourier import ifft2c
from recon.masks import count_low_frequency
from recon.models.blocks import ReconstructionModel
from recon.shapes import Bool, Complex
from recon.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

# Rows that kernels are fitted to: the energy lies in the middle, more of them cost time and change nothing.
_CALIBRATION_ROWS = 64

# Where the measured neighbours of a missing column lie, relative to it: (-3, -1, 1, 3) for every second column.
Geometry = tuple[int, ...]


@dataclass(frozen=True)
class GrappaParameters:
    """How GRAPPA weighs its neighbours.

    Attributes
    ----------
    n_rows
        Rows of the kernel, odd.
    n_columns
        Measured columns that a missing one is made of, half of them on either side; fewer where they would span more
        than half of the calibration lines, because a kernel that is seen at few places there fits their noise.
    regularization
        Tikhonov weight of the calibration, as a share of the mean energy of a neighbour.
    """

    n_rows: int = 5
    n_columns: int = 4
    regularization: float = 1e-2

    def __post_init__(self) -> None:
        problems = []
        if self.n_rows < 1 or self.n_rows % 2 == 0:
            problems.append(f"n_rows is {self.n_rows}; it must be odd")
        if self.n_columns < 2 or self.n_columns % 2:
            problems.append(f"n_columns is {self.n_columns}; it must be even and at least 2")
        if not 0 < self.regularization < float("inf"):
            problems.append(f"regularization is {self.regularization}; it must be positive")
        if problems:
            raise ModelError("GRAPPA: " + "; ".join(problems) + ".")


class Grappa(ReconstructionModel):
    """Generalised autocalibrating partially parallel acquisition.

    1. A missing column sees its nearest measured columns in one of few geometries, set by the sampling pattern.
    2. Wherever that geometry fits into the calibration lines, all samples are known: kernels that predict a sample of
       every coil from its neighbours in all coils are a regularised least-squares fit, one for each geometry.
    3. The kernels fill the missing columns between the first and the last measured one. What was measured stays.

    Needs no sensitivity maps and returns coil images.

    References
    ----------
    Griswold et al., GRAPPA, Magnetic Resonance in Medicine 2002.
    """

    def __init__(self, n_coils: int, parameters: GrappaParameters) -> None:
        super().__init__()
        self.n_coils = n_coils
        self.parameters_ = parameters

    def stages(
        self,
        zero_filled: Complex[Tensor, "batch coil y x"],  # noqa: ARG002
        kspace: Complex[Tensor, "batch coil y x"],
        mask: Bool[Tensor, "*mask"],
        maps: Complex[Tensor, "batch coil y x"] | None = None,  # noqa: ARG002
    ) -> Generator[Stage, None, None]:
        """Yield the image of the filled k-space.

        Raises
        ------
        ModelError
            If the pattern is irregular or has too few calibration lines, or there is a single coil.
        """
        if kspace.shape[1] < 2:
            raise ModelError(
                "GRAPPA needs several coils, the data has one; choose cs-tv, cs-wavelet or a single-coil network."
            )
        lines = _lines(mask, kspace.shape[-1])
        # One pattern serves the whole batch, or each entry has its own.
        filled = (
            self.fill(kspace, lines[0])
            if len(lines) == 1
            else torch.cat([self.fill(kspace[i : i + 1], line) for i, line in enumerate(lines)])
        )
        yield Stage("final", ("final",), ifft2c(filled), is_final=True, progress=1.0)

    def fill(
        self, kspace: Complex[Tensor, "batch coil y x"], sampled: NDArray[np.bool_]
    ) -> Complex[Tensor, "batch coil y x"]:
        """Return k-space with its missing columns filled.

        Parameters
        ----------
        kspace
            Measured k-space.
        sampled
            Columns that were measured.

        Raises
        ------
        ModelError
            See `stages`.
        """
        if sampled.all():
            return kspace
        first, last = _calibration(sampled)
        targets = geometries(sampled, last - first + 1, self.parameters_.n_columns)
        by_size: dict[int, list[Geometry]] = defaultdict(list)
        for geometry in targets:
            by_size[len(geometry)].append(geometry)
        filled = kspace.clone()
        rows = slice(
            max(0, kspace.shape[-2] // 2 - _CALIBRATION_ROWS // 2), kspace.shape[-2] // 2 + _CALIBRATION_ROWS // 2
        )
        calibration = kspace[..., rows, first : last + 1]
        padded = torch.nn.functional.pad(kspace, (0, 0, self.parameters_.n_rows // 2, self.parameters_.n_rows // 2))
        for alike in by_size.values():
            kernels = self._calibrate(calibration, alike)
            for geometry, kernel in zip(alike, kernels, strict=True):
                columns = torch.tensor(targets[geometry], device=kspace.device)
                filled[..., columns] = self._predict(padded, columns, geometry, kernel)
        return filled

    def _calibrate(
        self, calibration: Complex[Tensor, "batch coil y column"], alike: list[Geometry]
    ) -> list[Complex[Tensor, "batch row neighbour coil_in coil_out"]]:
        """Fit the kernels of geometries with one number of neighbours; their systems are solved in one batch."""
        n_rows = self.parameters_.n_rows
        n_batch, n_coils, _, n_columns = calibration.shape
        grams, rights = [], []
        # Rows that have all their neighbours; (batch, coil, y, column, row of the kernel).
        windows = calibration.unfold(2, n_rows, 1)
        for geometry in alike:
            start, stop = max(0, -geometry[0]), min(n_columns, n_columns - geometry[-1])
            neighbours = torch.stack([windows[..., start + step : stop + step, :] for step in geometry], dim=-1)
            # equations × (row, neighbour, coil)
            sources = neighbours.permute(0, 2, 3, 4, 5, 1).reshape(n_batch, -1, n_rows * len(geometry) * n_coils)
            wanted = windows[..., start:stop, n_rows // 2].permute(0, 2, 3, 1).reshape(n_batch, -1, n_coils)
            grams.append(sources.mH @ sources)
            rights.append(sources.mH @ wanted)
        # Double precision for the solution of an ill-conditioned system; not every device has it, the processor does.
        gram = torch.stack(grams).cpu().to(torch.complex128)
        right = torch.stack(rights).cpu().to(torch.complex128)
        energy = gram.diagonal(dim1=-2, dim2=-1).real.mean(-1)
        ridge = (self.parameters_.regularization * energy).clamp_min(torch.finfo(torch.float64).tiny)
        eye = torch.eye(gram.shape[-1], dtype=gram.dtype)
        kernels = torch.linalg.solve(gram + ridge[..., None, None] * eye, right)
        kernels = kernels.to(calibration.device, calibration.dtype)
        return list(kernels.reshape(len(alike), n_batch, n_rows, -1, n_coils, n_coils))

    def _predict(
        self,
        padded: Complex[Tensor, "batch coil padded x"],
        columns: Tensor,
        geometry: Geometry,
        kernel: Complex[Tensor, "batch row neighbour coil_in coil_out"],
    ) -> Complex[Tensor, "batch coil y column"]:
        n_rows = self.parameters_.n_rows
        n_batch, n_coils, _, _ = padded.shape
        near = torch.stack([padded[..., columns + step] for step in geometry], dim=-1).unfold(2, n_rows, 1)
        # (batch, y · column, row · neighbour · coil): one matrix product for all missing samples of this geometry.
        sources = near.permute(0, 2, 3, 5, 4, 1).reshape(n_batch, -1, n_rows * len(geometry) * n_coils)
        values = sources @ kernel.reshape(n_batch, -1, n_coils)
        return values.reshape(n_batch, -1, len(columns), n_coils).permute(0, 3, 1, 2)


def geometries(sampled: NDArray[np.bool_], n_calibration: int, n_neighbours: int = 4) -> dict[Geometry, list[int]]:
    """Return the missing columns of a pattern, by where their nearest measured columns lie.

    Parameters
    ----------
    sampled
        Columns that were measured.
    n_calibration
        Calibration lines; a geometry that spans more than half of them loses its farthest neighbour.
    n_neighbours
        Measured columns that a missing one is made of.

    Raises
    ------
    ModelError
        If not even the two next neighbours fit.
    """
    measured = np.flatnonzero(sampled)
    found: dict[Geometry, list[int]] = defaultdict(list)
    for column in np.flatnonzero(~sampled):
        after = int(np.searchsorted(measured, column))
        if after in (0, len(measured)):
            continue  # nothing beyond: a guess from one side would be an extrapolation
        half = n_neighbours // 2
        near = [int(place - column) for place in measured[max(0, after - half) : after + half]]
        while len(near) > 2 and near[-1] - near[0] > n_calibration // 2:
            # The farther end goes, but never the last neighbour of its side.
            drops_left = near[1] < 0 and (-near[0] >= near[-1] or near[-2] < 0)
            near = near[1:] if drops_left else near[:-1]
        if near[-1] - near[0] >= n_calibration:
            raise ModelError(
                f"GRAPPA needs at least {near[-1] - near[0] + 1} calibration lines for columns that are "
                f"{near[-1] - near[0]} apart, the mask has {n_calibration}; raise the centre fraction or lower the "
                "acceleration."
            )
        found[tuple(near)].append(int(column))
    return dict(found)


def _lines(mask: Bool[Tensor, "*mask"], n_columns: int) -> NDArray[np.bool_]:
    """Return the measured columns, one row for each pattern in the batch."""
    pattern = mask.cpu().numpy()
    if pattern.ndim > 1 and not (pattern == pattern[..., :1, :]).all():
        raise ModelError(
            "GRAPPA needs whole columns of k-space, the mask has single points; choose the equispaced mask, or "
            "cs-wavelet for this one."
        )
    pattern = pattern[..., :1, :] if pattern.ndim > 1 else pattern
    pattern = np.broadcast_to(pattern, (*pattern.shape[:-1], n_columns)).reshape(-1, n_columns)
    same = (pattern == pattern[:1]).all()
    lines: NDArray[np.bool_] = pattern[:1] if same else pattern
    return lines


def _calibration(sampled: NDArray[np.bool_]) -> tuple[int, int]:
    """Return the first and last calibration line, after a look at whether the rest is regular."""
    measured = np.flatnonzero(sampled)
    if count_low_frequency(sampled[None]) < 2:
        raise ModelError(
            "GRAPPA needs calibration lines, a fully sampled band in the middle, and the mask has none; raise the "
            "centre fraction."
        )
    first = last = len(sampled) // 2
    while first > 0 and sampled[first - 1]:
        first -= 1
    while last + 1 < len(sampled) and sampled[last + 1]:
        last += 1
    steps = [b - a for a, b in pairwise(measured[measured <= first])][:-1]
    steps += [b - a for a, b in pairwise(measured[measured >= last])][1:]
    if not (measured < first).any() and not (measured > last).any():
        raise ModelError(
            "GRAPPA needs measured columns all over k-space, the mask has its calibration lines alone; lower the "
            "centre fraction or choose the equispaced mask."
        )
    # Rounding of a step that is no whole number makes two neighbouring whole ones.
    if steps and max(steps) - min(steps) > 1:
        raise ModelError(
            f"GRAPPA needs regularly spaced columns, the mask has steps of {min(steps)} to {max(steps)} columns; "
            "choose the equispaced or equispaced-fraction mask."
        )
    return first, last
