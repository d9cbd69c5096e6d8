"""Samples that are simulated from magnitude volumes. A sample is a pure function of the recipe's seed and its number,
so any run can be repeated and resumed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset

from recon import masks, models
from recon.simulate import assemble, coil_maps, field_phase, smooth_phase
from training.augmentation import augment
from training.sample import center_fraction, make_sample

if TYPE_CHECKING:
    from numpy.random import Generator
    from torch import Tensor

    from training.config import TrainingConfig
    from training.volumes import Volume


class SimulatedSlices(Dataset[dict[str, Any]]):
    """Simulated samples, numbered from ``first``.

    Parameters
    ----------
    volumes
        Where the anatomy comes from.
    config
        The recipe.
    first, n_samples
        Range of sample numbers.
    """

    def __init__(self, volumes: list[Volume], config: TrainingConfig, first: int, n_samples: int) -> None:
        self.volumes = volumes
        self.config = config
        self.first = first
        self.n_samples = n_samples

    def __len__(self) -> int:
        return self.n_samples

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        number = self.first + index
        config = self.config
        # Samples of one batch share size and kind of mask, so that they stack.
        batch_rng = np.random.default_rng([config.seed, 2, number // config.batch_size])
        size = (int(batch_rng.choice(config.sizes)), int(batch_rng.choice(config.sizes)))
        kind = str(batch_rng.choice(config.mask_kinds))
        rng, volume, axis, position = self._draw(number)
        image = augment(rng, volume.cut(axis, position), size, config.contrast)
        return simulate_sample(rng, image, kind, config)

    def describe(self, number: int) -> str:
        """Say what sample ``number`` is made of."""
        _, volume, axis, position = self._draw(number)
        return f"slice {position} along axis {axis} of {volume.name}"

    def _draw(self, number: int) -> tuple[Generator, Volume, int, int]:
        rng = np.random.default_rng([self.config.seed, 3, number])
        volume = self.volumes[int(rng.integers(len(self.volumes)))]
        axis, position = volume.cuts[int(rng.integers(len(volume.cuts)))]
        return rng, volume, axis, position


class ValidationSlices(Dataset[dict[str, Any]]):
    """The same slices, coils, noise and masks at every validation; no augmentation."""

    def __init__(self, volumes: list[Volume], config: TrainingConfig) -> None:
        self.config = config
        self.items = []
        for volume in volumes:
            along = [cut for cut in volume.cuts if cut[0] == 0]
            chosen = np.linspace(0.2, 0.8, config.validation_slices) * (len(along) - 1)
            # A thin volume gives the slices that it has, each once.
            self.items += [(volume, *along[place]) for place in dict.fromkeys(chosen.round().astype(int).tolist())]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        volume, axis, position = self.items[index]
        rng = np.random.default_rng([4, index])
        kind = self.config.mask_kinds[index % len(self.config.mask_kinds)]
        image = torch.from_numpy(volume.cut(axis, position))
        return simulate_sample(rng, image, kind, self.config, acceleration=self.config.accelerations[0])


def simulate_sample(
    rng: Generator, image: Tensor, kind: str, config: TrainingConfig, acceleration: float | None = None
) -> dict[str, Tensor]:
    """Simulate the scan of one magnitude image and prepare it as the pipeline does; see `training.sample.make_sample`.

    Parameters
    ----------
    rng
        Source of coils, phase, noise and mask.
    image
        Magnitude ``(y, x)``, float32.
    kind
        Kind of mask.
    config
        The recipe.
    acceleration
        None draws one of the recipe's.
    """
    size = (image.shape[-2], image.shape[-1])
    if config.n_coils == 1:
        # A channel of an array, or a uniform coil: a single-coil network meets both.
        maps = coil_maps(rng, 8, size)[:1] if rng.random() < 0.5 else coil_maps(rng, 1, size)
    else:
        n_coils = round(float(np.exp(rng.uniform(np.log(2), np.log(config.max_simulated_coils)))))
        maps = coil_maps(rng, n_coils, size)
    phase = config.phase_scale * float(np.exp(rng.normal(0.0, 0.7))) * smooth_phase(rng, size)
    # Phase also differs between tissues (chemical shift, susceptibility), as gradient echoes show.
    phase = phase + np.float32(rng.normal(0, config.tissue_phase)) * image.numpy()
    if config.field_phase > 0 and rng.random() < 0.5:
        peak = config.field_phase * float(np.exp(rng.normal(0.0, 0.6)))
        phase = phase + np.float32(peak) * field_phase(rng, size)
    sigma = float(np.exp(rng.uniform(*np.log(config.noise))))
    kspace, _ = assemble(image, maps, phase.astype(np.float32), sigma, rng)
    acceleration = float(rng.choice(config.accelerations)) if acceleration is None else acceleration
    card = models.get_card(config.model)
    share = center_fraction(card, acceleration, size[1])
    spec = masks.MaskSpec(kind, acceleration, share, seed=int(rng.integers(2**31)))
    mask = torch.from_numpy(masks.make(spec, size).mask)
    return make_sample(kspace, mask, config.n_coils, card)
