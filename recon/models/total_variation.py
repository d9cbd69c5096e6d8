"""Compressed sensing with total variation: the image that explains the data and is piecewise smooth."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from recon.errors import ModelError
from recon.models.blocks import ReconstructionModel
from recon.models.iterative import as_real, is_due, maps_or_ones, stage_interval
from recon.models.regularization import DEFAULT, LARGEST, choose_lambda
from recon.models.scaling import bart_scale
from recon.operator import NormalOperator
from recon.shapes import Bool, Complex, Float
from recon.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Generator

# Step of the dual variable over λ. The fastest of 4, 8, 16, 32 and 64 on phantoms at λ from 0.001 to 0.05.
_DUAL_STEP = 8.0
# Iterations from one look at the objective to the next.
_CHECK_EVERY = 5


@dataclass(frozen=True)
class TotalVariationParameters:
    """How total variation is weighed and when the solver stops.

    Attributes
    ----------
    lambda_
        Weight of the total variation, as a share of the image's brightness; None takes fastMRI's for the acquisition
        and the acceleration of the scan, and 0.01 for a scan that is not in its table.
    n_iterations
        Limit of the iterations.
    tolerance
        Stop when five iterations lower the objective by less than this share of it; 0 uses up the iterations.
    """

    lambda_: float | None = None
    n_iterations: int = 200
    tolerance: float = 1e-6

    def __post_init__(self) -> None:
        problems = []
        if self.lambda_ is not None and not 0 <= self.lambda_ <= LARGEST:
            problems.append(f"lambda is {self.lambda_}; it must be 0 to {LARGEST:g}")
        if self.n_iterations < 1:
            problems.append(f"n_iterations is {self.n_iterations}; at least one is needed")
        if not 0 <= self.tolerance < 1:
            problems.append(f"tolerance is {self.tolerance}; it must be at least 0 and below 1")
        if problems:
            raise ModelError("CS-TV: " + "; ".join(problems) + ".")


class TotalVariation(ReconstructionModel):
    """Minimise ½‖y/s − A x‖² + λ‖∇x‖₂,₁ with isotropic, periodic total variation, by an accelerated primal-dual method.

    With H = AᴴA, b = Aᴴy/s and an image x, its running average x̄ and a dual image p of two directions, iteration k is

    1. p ← p + σ∇(x + (k−1)/k · (x − x_previous)), each pixel shortened to a length of at most λ
    2. r = H((1 − w) x̄ + w x) − b + ∇ᴴp, with w = 2/(k + 1)
    3. x ← x − (w‖H‖ + σ∇ᴴ∇)⁻¹ r
    4. x̄ ← (1 − w) x̄ + w x

    In step 3, ∇ᴴ∇ is diagonal after a Fourier transform, so the stiff total variation does not shorten the steps of the
    data; the weight w lets them grow while the average keeps them stable. H x̄ follows from H x, so an iteration
    applies H once and the objective is known for next to nothing. s is BART's scale: λ means what it means there.

    References
    ----------
    Chen, Lan, Ouyang, Optimal primal-dual methods for a class of saddle point problems, SIAM J. Optim. 2014; the
    objective of Block et al., MRM 2007, and of fastMRI's and PC-RNN's baseline.
    """

    def __init__(self, n_coils: int, parameters: TotalVariationParameters) -> None:
        super().__init__()
        self.n_coils = n_coils
        self.parameters_ = parameters

    def meet_scan(self, acquisition: str | None, n_coils: int, acceleration: float) -> None:
        """Take λ from fastMRI's table, unless it is set."""
        if self.parameters_.lambda_ is None:
            chosen = choose_lambda(acquisition, n_coils, acceleration)
            self.parameters_ = replace(self.parameters_, lambda_=chosen.value)
            self.origins = {"lambda_": chosen.origin}

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
        maps = maps_or_ones(kspace, maps, "CS-TV")
        values = self.parameters_
        scale = bart_scale(kspace.detach(), mask)
        aligned = (maps.conj() * zero_filled.detach()).sum(dim=1) / scale[:, 0]
        solver = TotalVariationSolver(
            NormalOperator(mask, maps), aligned, DEFAULT if values.lambda_ is None else values.lambda_
        )
        interval = stage_interval(kspace.shape)
        objective = solver.objective()
        for iteration in range(1, values.n_iterations + 1):
            solver.step()
            if iteration % _CHECK_EVERY == 0 and values.tolerance > 0:
                before, objective = objective, solver.objective()
                if bool(((before - objective).abs() <= values.tolerance * objective.abs()).all()):
                    break
            if iteration < values.n_iterations and is_due(iteration, interval):
                image = (solver.image * scale[:, 0])[:, None]
                yield Stage("iterate", ("iterate", iteration), image, progress=iteration / values.n_iterations)
        yield Stage("final", ("final",), (solver.image * scale[:, 0])[:, None], is_final=True, progress=1.0)


class TotalVariationSolver:
    """The iteration of `TotalVariation`, one step at a time, in memory that is allocated once.

    Complex images are worked on as real ones with columns of two values, real and imaginary, which is what most
    operations are fastest on.

    Parameters
    ----------
    normal
        H = AᴴA.
    aligned
        b = Aᴴy.
    lambda_
        Weight of the total variation.
    """

    def __init__(self, normal: NormalOperator, aligned: Complex[Tensor, "batch y x"], lambda_: float) -> None:
        self._normal = normal
        self._lambda = lambda_
        self._n_steps = 0
        self._norm = normal.norm_bound.clamp_min(torch.finfo(torch.float32).tiny)
        # An image is as much brighter as its maps are darker.
        self._dual_step = _DUAL_STEP * lambda_ * float(self._norm.mean().sqrt())
        self.image = aligned.clone()
        self._current = aligned.clone()
        self._normal_current = normal(self._current)
        self._normal_image = self._normal_current.clone()
        self._aligned = as_real(aligned.contiguous())
        self._previous = self._current.clone()
        self._residual = torch.empty_like(aligned)
        self._spectrum = torch.empty_like(aligned)
        self._complex_dual = torch.zeros(2, *aligned.shape, dtype=aligned.dtype, device=aligned.device)
        self._dual = torch.view_as_real(self._complex_dual).flatten(-2)
        self._gradient = torch.empty_like(self._dual)
        self._squares = torch.empty_like(self._aligned)
        self._lengths = torch.empty(aligned.shape, device=aligned.device)
        self._stiffness = self._dual_step * laplacian(aligned)

    def step(self) -> None:
        """Do one iteration; the result so far is `image`."""
        self._n_steps += 1
        count = self._n_steps
        weight = 2 / (count + 1)
        current, previous = as_real(self._current), as_real(self._previous)
        residual = as_real(self._residual)

        if self._lambda > 0:
            torch.lerp(previous, current, 1 + (count - 1) / count, out=residual)
            gradient(residual, self._gradient)
            self._dual.add_(self._gradient, alpha=self._dual_step)
            self._measure(self._dual)
            shortening = self._lengths.clamp_(min=self._lambda**2).rsqrt_().mul_(self._lambda)
            self._complex_dual.mul_(shortening)
        gradient_adjoint(self._dual, residual)
        torch.lerp(as_real(self._normal_image), as_real(self._normal_current), weight, out=self._squares)
        residual.add_(self._squares).sub_(self._aligned)

        torch.fft.fft2(self._residual, out=self._spectrum)
        self._spectrum.mul_((self._stiffness + weight * self._norm).reciprocal_())
        torch.fft.ifft2(self._spectrum, out=self._residual)
        torch.sub(current, residual, out=previous)
        self._current, self._previous = self._previous, self._current

        self._normal(self._current, out=self._normal_current)
        as_real(self.image).lerp_(as_real(self._current), weight)
        as_real(self._normal_image).lerp_(as_real(self._normal_current), weight)

    def objective(self) -> Float[Tensor, " batch"]:
        """Return ½‖y − A x‖² + λ‖∇x‖₂,₁ of `image`, less ½‖y‖², which does not depend on it."""
        image = as_real(self.image)
        torch.mul(as_real(self._normal_image), 0.5, out=self._squares)
        data = self._squares.sub_(self._aligned).mul_(image).sum((-2, -1))
        gradient(image, self._gradient)
        self._measure(self._gradient)
        return data + self._lambda * self._lengths.sqrt_().sum((-2, -1))

    def _measure(self, vectors: Float[Tensor, "2 batch y columns"]) -> None:
        """Put the squared length of each pixel's vector into ``_lengths``."""
        torch.mul(vectors[0], vectors[0], out=self._squares)
        self._squares.addcmul_(vectors[1], vectors[1])
        torch.add(self._squares[..., 0::2], self._squares[..., 1::2], out=self._lengths)


def gradient(image: Float[Tensor, "batch y columns"], out: Float[Tensor, "2 batch y columns"]) -> None:
    """Write ∇x into ``out``: periodic forward differences along y, then along x, of an image as `as_real` shows it."""
    down, right = out[0], out[1]
    torch.sub(image[:, 1:], image[:, :-1], out=down[:, :-1])
    torch.sub(image[:, :1], image[:, -1:], out=down[:, -1:])
    torch.sub(image[..., 2:], image[..., :-2], out=right[..., :-2])
    torch.sub(image[..., :2], image[..., -2:], out=right[..., -2:])


def gradient_adjoint(vectors: Float[Tensor, "2 batch y columns"], out: Float[Tensor, "batch y columns"]) -> None:
    """Write ∇ᴴp into ``out``, the negative divergence."""
    down, right = vectors[0], vectors[1]
    torch.sub(down[:, :-1], down[:, 1:], out=out[:, 1:])
    torch.sub(down[:, -1:], down[:, :1], out=out[:, :1])
    out.sub_(right)
    out[..., 2:].add_(right[..., :-2])
    out[..., :2].add_(right[..., -2:])


def laplacian(image: Complex[Tensor, "batch y x"]) -> Float[Tensor, "y x"]:
    """Return the eigenvalues of ∇ᴴ∇ in the order of a plain Fourier transform of the image."""
    waves = [
        2 - 2 * torch.cos(2 * math.pi * torch.arange(size, device=image.device) / size) for size in image.shape[-2:]
    ]
    return waves[0][:, None] + waves[1]
