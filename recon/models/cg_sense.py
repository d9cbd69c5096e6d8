"""CG-SENSE: the least-squares image of all coils, by conjugate gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from recon.errors import ModelError
from recon.models.blocks import ReconstructionModel
from recon.models.iterative import as_real, is_due, maps_or_ones, stage_interval
from recon.models.regularization import LARGEST
from recon.operator import NormalOperator
from recon.shapes import Bool, Complex, Float
from recon.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Generator


@dataclass(frozen=True)
class CGSenseParameters:
    """How much the solution is damped and when the solver stops.

    Attributes
    ----------
    lambda_
        Weight of ‖x‖², Tikhonov's; 1 is the weight of a fully sampled pixel.
    n_iterations
        Limit of the iterations.
    tolerance
        Stop when the residual of the normal equations is below this share of what it was.
    """

    lambda_: float = 0.01
    n_iterations: int = 50
    tolerance: float = 1e-3

    def __post_init__(self) -> None:
        problems = []
        if not 0 <= self.lambda_ <= LARGEST:
            problems.append(f"lambda is {self.lambda_}; it must be 0 to {LARGEST:g}")
        if self.n_iterations < 1:
            problems.append(f"n_iterations is {self.n_iterations}; at least one is needed")
        if not 0 <= self.tolerance < 1:
            problems.append(f"tolerance is {self.tolerance}; it must be at least 0 and below 1")
        if problems:
            raise ModelError("CG-SENSE: " + "; ".join(problems) + ".")


class CGSense(ReconstructionModel):
    """Solve (AᴴA + λ) x = Aᴴy by conjugate gradients, begun at zero.

    References
    ----------
    Pruessmann et al., Advances in sensitivity encoding with arbitrary k-space trajectories, MRM 2001.
    """

    def __init__(self, n_coils: int, parameters: CGSenseParameters) -> None:
        super().__init__()
        self.n_coils = n_coils
        self.parameters_ = parameters

    @property
    def n_stages(self) -> int:
        """At most; the stop rule may end it earlier, and a large slice shows more."""
        return -(-self.parameters_.n_iterations // stage_interval((1,)))

    def stages(
        self,
        zero_filled: Complex[Tensor, "batch coil y x"],
        kspace: Complex[Tensor, "batch coil y x"],
        mask: Bool[Tensor, "*mask"],
        maps: Complex[Tensor, "batch coil y x"] | None = None,
    ) -> Generator[Stage, None, None]:
        """Yield every few iterates, then the last one.

        Raises
        ------
        ModelError
            If there are several coils and no maps.
        """
        maps = maps_or_ones(kspace, maps, "CG-SENSE")
        values = self.parameters_
        normal = NormalOperator(mask, maps)
        residual = (maps.conj() * zero_filled.detach()).sum(dim=1)
        image = torch.zeros_like(residual)
        interval = stage_interval(kspace.shape)
        iterations = conjugate_gradients(
            normal, residual, image, values.lambda_, n_iterations=values.n_iterations, tolerance=values.tolerance
        )
        for iteration in iterations:
            if is_due(iteration, interval):
                progress = iteration / values.n_iterations
                yield Stage("iterate", ("iterate", iteration), image[:, None].clone(), progress=progress)
        yield Stage("final", ("final",), image[:, None], is_final=True, progress=1.0)


def conjugate_gradients(
    normal: NormalOperator,
    residual: Complex[Tensor, "batch y x"],
    image: Complex[Tensor, "batch y x"],
    weight: float,
    *,
    n_iterations: int,
    tolerance: float,
) -> Generator[int, None, None]:
    """Solve (AᴴA + λ) x = r in place, and yield the number of every iteration but the last.

    Parameters
    ----------
    normal
        AᴴA.
    residual
        r, which is used up.
    image
        x; it begins at zero.
    weight
        λ.
    n_iterations, tolerance
        See `CGSenseParameters`.
    """
    direction, applied = residual.clone(), torch.empty_like(residual)
    energy = first_energy = _dot(residual, residual)
    for iteration in range(1, n_iterations + 1):
        normal(direction, out=applied).add_(direction, alpha=weight)
        # An entry that is solved, or empty, has nothing left to go along.
        step = torch.nan_to_num(energy / _dot(direction, applied), posinf=0.0)
        as_real(image).addcmul_(as_real(direction), step)
        as_real(residual).addcmul_(as_real(applied), step, value=-1)
        before, energy = energy, _dot(residual, residual)
        if bool((energy <= tolerance**2 * first_energy).all()):
            return
        direction.mul_(torch.nan_to_num(energy / before, posinf=0.0)).add_(residual)
        if iteration < n_iterations:
            yield iteration


def _dot(left: Complex[Tensor, "batch y x"], right: Complex[Tensor, "batch y x"]) -> Float[Tensor, "batch 1 1"]:
    """Return the real part of the inner product of each batch entry."""
    return (as_real(left) * as_real(right)).sum((-2, -1), keepdim=True)
