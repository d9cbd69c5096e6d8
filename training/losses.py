"""Losses: most compare coil-combined magnitude images ``(batch, y, x)``, some the complex images themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from recon.shapes import Complex, Float

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_WINDOW = 7


def combine(image: Complex[Tensor, "batch coil y x"]) -> Float[Tensor, "batch y x"]:
    """Return the root sum of squares over the coils, with derivative 0 where the image is 0, not none.

    Outside the support of sensitivity maps an image is exactly 0, where the derivative of a plain root is not a number.
    """
    result: Tensor = torch.linalg.vector_norm(torch.view_as_real(image), dim=(1, 4))
    return result


def nmse_ssim(output: Float[Tensor, "batch y x"], target: Float[Tensor, "batch y x"]) -> Float[Tensor, ""]:
    """Return NMSE + 0.5 (1 − SSIM), each the mean over samples.

    References
    ----------
    Chen et al., PC-RNN, IEEE TMI 2022, section IV-B.
    """
    error = (output - target).square().sum((-2, -1)) / target.square().sum((-2, -1)).clamp_min(1e-12)
    return error.mean() + 0.5 * (1 - ssim(output, target))


def l1(output: Float[Tensor, "batch y x"], target: Float[Tensor, "batch y x"]) -> Float[Tensor, ""]:
    """Return the mean absolute difference.

    References
    ----------
    Guo et al., OUCR, MICCAI 2021, section 3.
    """
    return (output - target).abs().mean()


def ssim_loss(output: Float[Tensor, "batch y x"], target: Float[Tensor, "batch y x"]) -> Float[Tensor, ""]:
    """Return 1 − SSIM.

    References
    ----------
    Sriram et al., End-to-End Variational Networks, MICCAI 2020, section 3.
    """
    return 1 - ssim(output, target)


def mse(output: Float[Tensor, "batch y x"], target: Float[Tensor, "batch y x"]) -> Float[Tensor, ""]:
    """Return the mean squared difference of the magnitudes.

    References
    ----------
    Hammernik et al., Learning a Variational Network, MRM 2018, equation 7.
    """
    return (output - target).square().mean()


def complex_mse(
    output: Complex[Tensor, "batch coil y x"], target: Complex[Tensor, "batch coil y x"]
) -> Float[Tensor, ""]:
    """Return the mean squared modulus of the difference of complex images: the phase counts too.

    References
    ----------
    Duan et al., VS-Net, MICCAI 2019, section 2.
    """
    return torch.view_as_real(output - target).square().sum(-1).mean()


def ssim(
    output: Float[Tensor, "batch y x"], target: Float[Tensor, "batch y x"], peak: Tensor | None = None
) -> Float[Tensor, ""]:
    """Return the mean structural similarity as fastMRI's ``SSIMLoss``: 7×7 uniform window, sample covariance.

    Parameters
    ----------
    output, target
        Magnitudes.
    peak
        Data range; None takes the maximum of each target.
    """
    peak = target.amax((-2, -1), keepdim=True) if peak is None else peak
    # Normalising first keeps float32 from cancelling in E[x²] − E[x]².
    a, b = (output / peak)[:, None], (target / peak)[:, None]
    sample = _WINDOW**2 / (_WINDOW**2 - 1)
    means = torch.nn.functional.avg_pool2d(torch.cat([a, b, a * a, b * b, a * b], dim=1), _WINDOW, stride=1)
    mean_a, mean_b, square_a, square_b, product = means.unbind(1)
    variance_a = sample * (square_a - mean_a * mean_a)
    variance_b = sample * (square_b - mean_b * mean_b)
    covariance = sample * (product - mean_a * mean_b)
    c1, c2 = 0.01**2, 0.03**2
    numerator = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    denominator = (mean_a.square() + mean_b.square() + c1) * (variance_a + variance_b + c2)
    return (numerator / denominator).mean()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "nmse-ssim": nmse_ssim,
    "l1": l1,
    "ssim": ssim_loss,
    "mse": mse,
}
COMPLEX_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"complex-mse": complex_mse}


def compare(name: str, image: Complex[Tensor, "batch coil y x"], batch: Mapping[str, Tensor]) -> Float[Tensor, ""]:
    """Return the loss of a network's images.

    Parameters
    ----------
    name
        A key of `LOSSES` or `COMPLEX_LOSSES`.
    image
        What the network gave.
    batch
        With ``target``, the combined magnitude, and ``full``, the complex images, see `training.sample.make_sample`.
    """
    if name in COMPLEX_LOSSES:
        return COMPLEX_LOSSES[name](image, batch["full"])
    return LOSSES[name](combine(image), batch["target"])
