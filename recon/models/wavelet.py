"""Compressed sensing with wavelets: the image that explains the data and has few large wavelet coefficients."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from recon.errors import ModelError, needs_package
from recon.fourier import centre_crop, pad_to_multiple
from recon.models.blocks import ReconstructionModel
from recon.models.iterative import is_due, maps_or_ones, stage_interval
from recon.models.regularization import LARGEST
from recon.models.scaling import bart_scale
from recon.operator import NormalOperator
from recon.shapes import Bool, Complex, Float, Shaped
from recon.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

# Longer filters see too little of the coarse levels, and their padding grows.
_LONGEST_FILTER = 20
# Sides from here on are halved, so that the coarsest image has sides of 8 to 15, as in BART.
_HALVED = 16


@dataclass(frozen=True)
class WaveletParameters:
    """How the coefficients are weighed and when the solver stops.

    Attributes
    ----------
    lambda_
        Weight of the coefficients, as a share of the image's brightness.
    n_iterations
        Limit of the iterations.
    tolerance
        Stop when an iteration changes the image by less than this share of it; 0 uses up the iterations. With random
        shifts the image never quite rests: by about 0.005.
    wavelet
        Orthogonal wavelet by its name in PyWavelets: ``db1`` (Haar) to ``db10``, ``sym2`` to ``sym10``, ``coif1`` …
    n_levels
        How often the image is halved, at most; sides below 16 are not.
    is_shifted
        Shift the grid of the wavelets at random in every iteration, which hides its blocks (cycle spinning).
    """

    lambda_: float = 0.003
    n_iterations: int = 100
    tolerance: float = 1e-4
    wavelet: str = "sym4"
    n_levels: int = 4
    is_shifted: bool = True

    def __post_init__(self) -> None:
        problems = []
        if not 0 <= self.lambda_ <= LARGEST:
            problems.append(f"lambda is {self.lambda_}; it must be 0 to {LARGEST:g}")
        if self.n_iterations < 1:
            problems.append(f"n_iterations is {self.n_iterations}; at least one is needed")
        if not 0 <= self.tolerance < 1:
            problems.append(f"tolerance is {self.tolerance}; it must be at least 0 and below 1")
        if self.n_levels < 1:
            problems.append(f"n_levels is {self.n_levels}; at least one is needed")
        if problems:
            raise ModelError("CS-wavelet: " + "; ".join(problems) + ".")


class Wavelet(ReconstructionModel):
    """Minimise ½‖y/s − A x‖² + λ‖Ψ x‖₁ over all wavelet coefficients by FISTA.

    1. z = x + t (x − x_previous), with the momentum t of FISTA, started again where it points uphill
    2. x ← Ψᴴ S_λ(Ψ (z − Aᴴ(A z − y/s))), where S_λ shortens each coefficient by λ

    The coarsest image is shortened too, as in BART: nothing else bounds its coefficients where no coil sees anything.

    x lives on a grid whose sides the wavelets halve evenly; what lies outside of the image is free, so step 2 is the
    exact proximal operator for any size. s is BART's scale: λ is a share of the image's brightness.

    Notes
    -----
    ``bart pics -S -R W:7:0:λ`` (0.8.00) minimises the same where the boundary does not matter, and shows another point:
    its last step moves along the data once more without shortening, x + 0.95 (Aᴴ y/s − AᴴA x), which returns a part of
    what λ took away. On eight coils of 96 × 96 at 4x, for ``-n --wavelet haar`` and db1 without shifts, the images
    differ by 0.9 % (λ 0.003) and 2.8 % (λ 0.01), and by 0.1 % and 0.04 % once ours has moved likewise. Its default
    wavelet (dau2, our db2) mirrors the image at its edges, ours are periodic. With random shifts, the default of both,
    no iterate rests: 7 to 12 % lie between ours and BART's, and as much between BART's after 30 iterations, its
    default, and after 150.

    References
    ----------
    Lustig et al., Sparse MRI, MRM 2007; Beck and Teboulle, SIAM J. Imaging Sciences 2009 (FISTA); O'Donoghue and
    Candès, 2015 (restart); Figueiredo and Nowak, IEEE TIP 2003 (random shifts).
    """

    def __init__(self, n_coils: int, parameters: WaveletParameters) -> None:
        super().__init__()
        self.n_coils = n_coils
        self.parameters_ = parameters
        self.taps = scaling_filter(parameters.wavelet)

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
        maps = maps_or_ones(kspace, maps, "CS-wavelet")
        values = self.parameters_
        scale = bart_scale(kspace.detach(), mask)[:, 0]
        aligned = (maps.conj() * zero_filled.detach()).sum(dim=1) / scale
        solver = WaveletSolver(NormalOperator(mask, maps), aligned, self.taps, values)
        interval = stage_interval(kspace.shape)
        for iteration in range(1, values.n_iterations + 1):
            change = solver.step()
            if bool((change <= values.tolerance).all()) and values.tolerance > 0:
                break
            if iteration < values.n_iterations and is_due(iteration, interval):
                image = (solver.image * scale)[:, None]
                yield Stage("iterate", ("iterate", iteration), image, progress=iteration / values.n_iterations)
        yield Stage("final", ("final",), (solver.image * scale)[:, None], is_final=True, progress=1.0)


class WaveletSolver:
    """The iteration of `Wavelet`, one step at a time.

    Parameters
    ----------
    normal
        AᴴA.
    aligned
        Aᴴy.
    taps
        Scaling filter.
    parameters
        Weights.
    """

    def __init__(
        self,
        normal: NormalOperator,
        aligned: Complex[Tensor, "batch y x"],
        taps: Sequence[float],
        parameters: WaveletParameters,
    ) -> None:
        self._normal = normal
        self._aligned = aligned
        self._lambda = parameters.lambda_
        self._step = 1 / normal.norm_bound.clamp_min(torch.finfo(torch.float32).tiny)
        self._transform = WaveletTransform(taps, self._n_levels(aligned.shape, taps, parameters.n_levels))
        self._size = (aligned.shape[-2], aligned.shape[-1])
        self._estimate = self._pad(aligned)
        self._momentum = 1.0
        self._lookahead = self._estimate
        # Reproducible, and the same on every device.
        self._generator = torch.Generator().manual_seed(0) if parameters.is_shifted else None

    @staticmethod
    def _n_levels(shape: Sequence[int], taps: Sequence[float], wanted: int) -> int:
        side, n_levels = min(shape[-2:]), 0
        # A filter that is longer than the image would meet itself.
        while n_levels < wanted and side >= max(_HALVED, len(taps)):
            side, n_levels = (side + 1) // 2, n_levels + 1
        return max(1, n_levels)

    @property
    def image(self) -> Complex[Tensor, "batch y x"]:
        """The result so far."""
        return self._crop(self._estimate)

    def step(self) -> Float[Tensor, " batch"]:
        """Do one iteration; return how much the image changed, as a share of it."""
        inside = self._crop(self._lookahead)
        gradient = self._pad(self._normal(inside) - self._aligned)
        moved = self.shrink(self._lookahead - self._step * gradient)
        difference = moved - self._estimate
        uphill = torch.real(((self._lookahead - moved).conj() * difference).sum(dim=(-2, -1))) > 0
        momentum = 0.5 * (1 + math.sqrt(1 + 4 * self._momentum**2))
        if bool(uphill.any()):
            momentum, weight = 1.0, 0.0
        else:
            weight = (self._momentum - 1) / momentum
        self._momentum = momentum
        self._lookahead = moved + weight * difference
        self._estimate = moved
        size = torch.linalg.vector_norm(moved, dim=(-2, -1)).clamp_min(torch.finfo(torch.float32).tiny)
        change: Tensor = torch.linalg.vector_norm(difference, dim=(-2, -1)) / size
        return change

    def shrink(self, image: Complex[Tensor, "batch y x"]) -> Complex[Tensor, "batch y x"]:
        """Return the proximal operator of the weighted coefficients, on the grid of the wavelets."""
        if self._generator is None:
            shifts = (0, 0)
        else:
            most = 2**self._transform.n_levels
            rows, columns = torch.randint(most, (2,), generator=self._generator).tolist()
            shifts = (rows, columns)
        coarse, details = self._transform.forward(image.roll(shifts, (-2, -1)))
        # The steps of the entries of a batch may differ, and with them their thresholds.
        limit = self._lambda * self._step
        coarse, details = shorten(coarse, limit), [shorten(detail, limit[:, None]) for detail in details]
        result: Tensor = self._transform.inverse(coarse, details).roll((-shifts[0], -shifts[1]), (-2, -1))
        return result

    def _pad(self, image: Complex[Tensor, "batch y x"]) -> Complex[Tensor, "batch h w"]:
        return self._transform.pad(image)

    def _crop(self, image: Complex[Tensor, "batch h w"]) -> Complex[Tensor, "batch y x"]:
        return centre_crop(image, self._size)


class WaveletTransform:
    """Orthogonal wavelet transform of complex images in two dimensions, periodic: its adjoint is its inverse.

    Parameters
    ----------
    taps
        Scaling filter, an even number of values.
    n_levels
        How often the image is halved.
    """

    def __init__(self, taps: Sequence[float], n_levels: int) -> None:
        self.n_levels = n_levels
        low = torch.tensor(taps, dtype=torch.float32)
        signs = torch.tensor([1.0, -1.0]).repeat(len(taps) // 2)
        self._pair = torch.stack([low, low.flip(0) * signs])  # quadrature mirror

    def pad(self, image: Shaped[Tensor, "*batch y x"]) -> Shaped[Tensor, "*batch h w"]:
        """Append zeros, evenly on both sides, up to sides that can be halved that often and hold a filter."""
        n_taps = self._pair.shape[1]
        return pad_to_multiple(image, 2**self.n_levels if min(image.shape[-2:]) >= n_taps else n_taps)

    def forward(
        self, image: Complex[Tensor, "batch y x"]
    ) -> tuple[Complex[Tensor, "batch h w"], list[Complex[Tensor, "batch direction _ _"]]]:
        """Return the coarsest image, and the details of each level ``(batch, direction, y, x)``, finest first."""
        details = []
        coarse = _to_real(image[:, None])
        for _ in range(self.n_levels):
            coarse = self._split(self._split(coarse, -1), -2)
            details.append(_to_complex(coarse[:, 1:]))
            coarse = coarse[:, :1]
        return _to_complex(coarse)[:, 0], details

    def inverse(
        self, coarse: Complex[Tensor, "batch h w"], details: Sequence[Complex[Tensor, "batch direction _ _"]]
    ) -> Complex[Tensor, "batch y x"]:
        """Return the image that `forward` took apart."""
        image = _to_real(coarse[:, None])
        for detail in reversed(details):
            image = self._join(self._join(torch.cat([image, _to_real(detail)], dim=1), -2), -1)
        return _to_complex(image)[:, 0]

    def _split(self, channels: Float[Tensor, "n channel y x"], dim: int) -> Float[Tensor, "n twice _ _"]:
        """Filter and halve one axis; the channels of the low band come first."""
        n_taps = self._pair.shape[1]
        n, n_channels = channels.shape[:2]
        around = torch.cat([channels, channels.narrow(dim, 0, n_taps - 2)], dim).flatten(0, 1)[:, None]
        bands = functional.conv2d(around, self._weights(channels, dim), stride=(1, 2) if dim == -1 else (2, 1))
        return bands.reshape(n, n_channels, 2, *bands.shape[-2:]).transpose(1, 2).flatten(1, 2)

    def _join(self, bands: Float[Tensor, "n twice y x"], dim: int) -> Float[Tensor, "n half _ _"]:
        """Undo `_split`, by its adjoint."""
        n_taps = self._pair.shape[1]
        n, n_bands = bands.shape[:2]
        pairs = bands.reshape(n, 2, n_bands // 2, *bands.shape[-2:]).transpose(1, 2).flatten(0, 1)
        stride = (1, 2) if dim == -1 else (2, 1)
        long = functional.conv_transpose2d(pairs, self._weights(bands, dim), stride=stride)
        size = 2 * bands.shape[dim]
        # What the filters wrote beyond the end belongs to the beginning.
        result = long.narrow(dim, 0, size).clone()
        result.narrow(dim, 0, n_taps - 2).add_(long.narrow(dim, size, n_taps - 2))
        return result.reshape(n, n_bands // 2, *result.shape[-2:])

    def _weights(self, like: Tensor, dim: int) -> Float[Tensor, "2 1 _ _"]:
        pair = self._pair.to(like.device, like.dtype)
        return pair[:, None, None, :] if dim == -1 else pair[:, None, :, None]


def shorten(values: Complex[Tensor, "*shape"], limit: Float[Tensor, "*limit"] | float) -> Complex[Tensor, "*shape"]:
    """Return the values, each shorter by ``limit``, and 0 where it was no longer than that (soft threshold)."""
    length = values.abs()
    return values * ((length - limit).clamp_min(0) / length.clamp_min(torch.finfo(torch.float32).tiny))


def scaling_filter(name: str) -> tuple[float, ...]:
    """Return the scaling filter of an orthogonal wavelet.

    Raises
    ------
    ModelError
        If there is none of that name, or it is not orthogonal or too long.
    MissingPackageError
        If PyWavelets is not installed.
    """
    with needs_package():
        import pywt
    if name not in pywt.wavelist(kind="discrete"):
        raise ModelError(f"there is no wavelet {name!r}; choose an orthogonal one, such as db1 (Haar), db4 or sym4.")
    wavelet = pywt.Wavelet(name)
    taps = tuple(wavelet.rec_lo)
    if not wavelet.orthogonal or len(taps) > _LONGEST_FILTER:
        found = (
            f"has {len(taps)} taps, at most {_LONGEST_FILTER}" if wavelet.orthogonal else "is not orthogonal, one that"
        )
        raise ModelError(f"the wavelet {name} {found} is supported; choose db1 (Haar) to db10 or sym2 to sym10.")
    return taps


def _to_real(image: Complex[Tensor, "batch channel y x"]) -> Float[Tensor, "both channel y x"]:
    return torch.view_as_real(image.resolve_conj()).movedim(-1, 1).flatten(0, 1)


def _to_complex(channels: Float[Tensor, "both channel y x"]) -> Complex[Tensor, "batch channel y x"]:
    return torch.view_as_complex(channels.reshape(-1, 2, *channels.shape[1:]).movedim(1, -1).contiguous())
