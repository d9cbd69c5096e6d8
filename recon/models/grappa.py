"""GRAPPA: missing columns of k-space as weighted sums of their measured neighbours in all coils."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from recon.errors import ModelError
from recon.fourier import ifft2c
from recon.models.blocks import ReconstructionModel
from recon.models.grappa_pattern import Geometry, calibration_lines, geometries, lines
from recon.models.requirements import several_coils
from recon.shapes import Bool, Complex
from recon.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

# Rows that kernels are fitted to: the energy lies in the middle, more of them cost time and change nothing.
_CALIBRATION_ROWS = 64
# How many times the energy of the measured columns beside them filled ones may hold. Energy falls towards the border of
# k-space, and more slowly the farther out: a column holds no more than the two around it on average. Of scans and
# phantoms of 4 to 32 coils, those above the limit mostly came out worse than zero-filled, by up to 18 dB, and all that
# lost more than 4 dB are above it. The number of equations for a weight told much less.
_MOST_ENERGY = 2.0


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
        self._excess = _MOST_ENERGY

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
            If the pattern is irregular or has too few calibration lines, the kernel has more rows than they, or there
            is a single coil.
        """
        several_coils("GRAPPA", kspace.shape[1])
        patterns = lines(mask.cpu().numpy(), kspace.shape[-1])
        # One pattern serves the whole batch, or each entry has its own.
        filled = (
            self.fill(kspace, patterns[0])
            if len(patterns) == 1
            else torch.cat([self.fill(kspace[i : i + 1], pattern) for i, pattern in enumerate(patterns)])
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
        first, last = calibration_lines(sampled)
        targets = geometries(sampled, last - first + 1, self.parameters_.n_columns)
        by_size: dict[int, list[Geometry]] = defaultdict(list)
        for geometry in targets:
            by_size[len(geometry)].append(geometry)
        filled = kspace.clone()
        rows = slice(
            max(0, kspace.shape[-2] // 2 - _CALIBRATION_ROWS // 2), kspace.shape[-2] // 2 + _CALIBRATION_ROWS // 2
        )
        calibration = kspace[..., rows, first : last + 1]
        n_rows, n_available = self.parameters_.n_rows, calibration.shape[-2]
        if n_rows > n_available:
            raise ModelError(
                f"GRAPPA: its kernel has {n_rows} rows, and the calibration lines that it is fitted to have "
                f"{n_available}; set n_rows to {n_available - 1 + n_available % 2} or less."
            )
        padded = torch.nn.functional.pad(kspace, (0, 0, n_rows // 2, n_rows // 2))
        for alike in by_size.values():
            kernels = self._calibrate(calibration, alike)
            for geometry, kernel in zip(alike, kernels, strict=True):
                columns = torch.tensor(targets[geometry], device=kspace.device)
                filled[..., columns] = self._predict(padded, columns, geometry, kernel)
        self._doubt(filled, sampled, [column for columns in targets.values() for column in columns])
        return filled

    def _doubt(self, filled: Complex[Tensor, "batch coil y x"], sampled: NDArray[np.bool_], columns: list[int]) -> None:
        """Note where filled columns hold more energy than those beside them: their weights are guesses."""
        if not columns:
            return
        energy = filled.abs().square().sum(dim=(0, 1, 2)).double().cpu().numpy()
        measured = np.flatnonzero(sampled)
        after = np.searchsorted(measured, columns)
        beside = (energy[measured[after - 1]] + energy[measured[after]]) / 2
        excess = float(np.median(energy[columns] / beside.clip(np.finfo(np.float64).tiny)))
        if excess > self._excess:
            self._excess = excess
            self.notes = (
                f"GRAPPA filled columns with {excess:.2g} times the energy of the measured ones beside them: the "
                "calibration lines or the coils are too few for this acceleration, and the result may be worse than "
                "the zero-filled image. Raise the centre fraction or lower the acceleration.",
            )

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
            # equations × (row, neighbour, coil); in double precision, which not every device has and the processor does
            sources = neighbours.permute(0, 2, 3, 4, 5, 1).reshape(n_batch, -1, n_rows * len(geometry) * n_coils)
            wanted = windows[..., start:stop, n_rows // 2].permute(0, 2, 3, 1).reshape(n_batch, -1, n_coils)
            sources, wanted = sources.cpu().to(torch.complex128), wanted.cpu().to(torch.complex128)
            grams.append(sources.mH @ sources)
            rights.append(sources.mH @ wanted)
        gram, right = torch.stack(grams), torch.stack(rights)
        energy = gram.diagonal(dim1=-2, dim2=-1).real.mean(-1)
        # Never less than rounding leaves, so that what is Hermitian stays positive.
        least = gram.shape[-1] ** 2 * torch.finfo(torch.float64).eps
        ridge = max(self.parameters_.regularization, least) * energy.clamp_min(torch.finfo(torch.float64).tiny / least)
        eye = torch.eye(gram.shape[-1], dtype=gram.dtype)
        # Not by torch's LU, which fails for a batch after torch.set_num_threads (its issue 141358).
        factor = torch.linalg.cholesky_ex(gram + ridge[..., None, None] * eye).L
        kernels = torch.cholesky_solve(right, factor)
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
