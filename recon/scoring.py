"""The scores of one volume: whole, inside the support of its coils, and of each frequency band."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recon.errors import RequestError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recon.data import Series
    from recon.evaluation import Evaluation

# Side of the block of k-space whose coils' sensitivities say where there is tissue.
_N_CALIBRATION = 24


def score(
    reference: NDArray[Any],
    image: NDArray[Any],
    evaluation: Evaluation,
    support: Support,
    indices: tuple[int, ...],
) -> dict[str, Any]:
    """Return every score of a volume: whole, masked, and of each frequency band.

    Parameters
    ----------
    reference, image
        Magnitudes ``(slices, y, x)``.
    evaluation
        Whether to mask, and what the bands are.
    support
        Where the coils see something.
    indices
        Slices of the series that the arrays hold.
    """
    from recon import frequency_bands

    row: dict[str, Any] = {"whole": _score(reference, image), "masked": None, "masked_reason": ""}
    row["bands"] = frequency_bands.score(reference, image, evaluation.band_radius, evaluation.band_shape)
    if evaluation.masked:
        mask, row["masked_reason"] = support.volume(indices)
        if mask is not None and not (reference * mask).any():
            row["masked_reason"] = "the reference is zero inside the support of the coils"
        elif mask is not None:
            row["masked"] = _score(reference * mask, image * mask)
    else:
        row["masked_reason"] = "not asked for"
    return row


def _score(reference: NDArray[Any], image: NDArray[Any]) -> dict[str, Any]:
    from recon import metrics

    return metrics.score(reference, image) | {"hfen": metrics.score_edges(reference, image)}


class Support:
    """Where the coils of a scan see tissue: the support of their sensitivity maps.

    The maps come from the fully sampled scan, so that every method, mask and acceleration is scored on the same pixels.
    ESPIRiT's maps have a root sum of squares of 1 inside and 0 outside; the threshold of 0.5 has nothing to decide.

    References
    ----------
    Chen et al., PC-RNN, IEEE TMI 2022, section IV-C.
    """

    def __init__(self, series: Series) -> None:
        self._series = series
        self._slices: dict[int, NDArray[np.bool_]] = {}
        self._reason = ""
        if series.n_coils == 1:
            self._reason = "a single coil has no sensitivity maps to tell tissue from background"

    def volume(self, indices: tuple[int, ...]) -> tuple[NDArray[np.bool_] | None, str]:
        """Return the support ``(slices, y, x)``, or None and the reason why there is none."""
        if self._reason:
            return None, self._reason
        try:
            return np.stack([self._slice(index) for index in indices]), ""
        except RequestError as error:
            self._reason = f"no sensitivity maps: {error}"
            return None, self._reason

    def _slice(self, index: int) -> NDArray[np.bool_]:
        if index not in self._slices:
            import torch

            from recon import coils, fourier
            from recon.sampling import on_grid

            series = self._series
            kspace = on_grid(series.read(index).kspace, series, native=False)
            with torch.inference_mode():
                maps = coils.espirit(kspace, _N_CALIBRATION)
                inside = coils.root_sum_of_squares(maps, dim=-3) > 0.5
            self._slices[index] = fourier.centre_crop(inside, series.recon_size).numpy()
        return self._slices[index]
