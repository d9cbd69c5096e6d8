"""Training samples: magnitude volumes in, undersampled multi-coil slices out, through the pipeline's own `prepare`.

A sample is a pure function of the recipe's seed and its number, so any run can be repeated and resumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from recon import masks, models
from recon.coils import compress, root_sum_of_squares
from recon.errors import FileError, RequestError
from recon.fourier import ifft2c
from recon.pipeline import prepare
from recon.simulate import assemble, coil_maps, smooth_phase

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from training.config import TrainingConfig

# Volumes at least this cubic can be cut along any axis.
_ISOTROPIC_SHARE = 0.5
# Share of the volume's brightest voxels' level that a slice must reach somewhere to be worth training on.
_CONTENT = 0.02


@dataclass(frozen=True, eq=False)
class Volume:
    """A magnitude volume ``(slices, y, x)`` in its stored integer type, and the slices that show something."""

    name: str
    voxels: NDArray[Any]
    peak: float
    cuts: tuple[tuple[int, int], ...]
    """``(axis, index)`` of every slice with content."""

    def cut(self, axis: int, index: int) -> NDArray[np.float32]:
        """Return a slice as float32, 1 at the volume's 99.9th percentile."""
        slice_: NDArray[np.float32] = np.take(self.voxels, index, axis=axis).astype(np.float32) / np.float32(self.peak)
        return slice_


def read_volumes(path: Path | str, group: str) -> list[Volume]:
    """Read the volumes of one group of a file of magnitude images.

    Raises
    ------
    FileError
        If the file or the group is not there or holds no volume.
    """
    import h5py

    path = Path(path)
    try:
        with h5py.File(path) as file:
            if group not in file:
                raise FileError(path, f"has no group {group!r}; expected the groups train and validation.")
            arrays = {name: np.asarray(dataset) for name, dataset in file[group].items()}
    except OSError as error:
        raise FileError(path, f"cannot be read as HDF5 ({error}); expected a file of magnitude volumes.") from None
    volumes = [_volume(name, array) for name, array in arrays.items() if array.ndim == 3]
    if not volumes:
        raise FileError(path, f"group {group!r} holds no (slices, y, x) volume.")
    return volumes


def _volume(name: str, voxels: NDArray[Any]) -> Volume:
    peak = float(np.percentile(voxels[voxels > 0], 99.9))
    axes = (0, 1, 2) if min(voxels.shape) >= _ISOTROPIC_SHARE * max(voxels.shape) * 0.9 else (0,)
    cuts = []
    for axis in axes:
        others = tuple(other for other in range(3) if other != axis)
        share = (voxels > 0.15 * peak).mean(axis=others)
        cuts += [(axis, int(index)) for index in np.flatnonzero(share > _CONTENT)]
    return Volume(name, voxels, peak, tuple(cuts))


class SimulatedSlices(Dataset[dict[str, Tensor]]):
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
        rng = np.random.default_rng([config.seed, 3, number])
        volume = self.volumes[int(rng.integers(len(self.volumes)))]
        axis, position = volume.cuts[int(rng.integers(len(volume.cuts)))]
        image = _augment(rng, volume.cut(axis, position), size)
        return make_sample(rng, image, kind, config)


class ValidationSlices(Dataset[dict[str, Tensor]]):
    """The same slices, coils, noise and masks at every validation; no augmentation."""

    def __init__(self, volumes: list[Volume], config: TrainingConfig) -> None:
        self.config = config
        self.items = []
        for volume in volumes:
            along = [cut for cut in volume.cuts if cut[0] == 0]
            chosen = np.linspace(0.2, 0.8, config.validation_slices) * (len(along) - 1)
            self.items += [(volume, *along[round(place)]) for place in chosen]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        volume, axis, position = self.items[index]
        rng = np.random.default_rng([4, index])
        image = np.pad(volume.cut(axis, position), 0)
        kind = self.config.mask_kinds[index % len(self.config.mask_kinds)]
        return make_sample(rng, torch.from_numpy(image), kind, self.config, acceleration=self.config.accelerations[0])


def make_sample(
    rng: Generator, image: Tensor, kind: str, config: TrainingConfig, acceleration: float | None = None
) -> dict[str, Tensor]:
    """Simulate the scan of one magnitude image and prepare it as the pipeline does.

    Returns
    -------
    ``zero_filled`` and ``kspace`` complex64 ``(coil, y, x)``, ``mask`` bool ``(1, 1 or y, x)``, and ``target``
    float32 ``(y, x)``: the magnitude of the network's virtual coils, fully sampled, in the units of the network. For
    methods with sensitivity maps also ``maps``, and the target is combined with them.
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
    sigma = float(np.exp(rng.uniform(*np.log(config.noise))))
    kspace, _ = assemble(image, maps, phase.astype(np.float32), sigma, rng)
    acceleration = float(rng.choice(config.accelerations)) if acceleration is None else acceleration
    spec = masks.MaskSpec(kind, acceleration, seed=int(rng.integers(2**31)))
    mask = torch.from_numpy(masks.make(spec, size).mask)
    card = models.get_card(config.model)
    data = prepare(kspace, mask, config.n_coils, maps="espirit" if card.needs_maps else None, scale=card.scale)
    # The target is made of the virtual coils that the network has. One of all coils would carry the noise floor of
    # those that compression removed, and teach the network to add a haze to the background.
    if config.n_coils != kspace.shape[0]:
        _, matrix = compress(kspace * mask, config.n_coils)
        kspace = torch.einsum("cyx,cv->vyx", kspace, matrix)
    sample = {"zero_filled": data.zero_filled[0], "kspace": data.kspace[0], "mask": mask[None]}
    full = ifft2c(kspace) / data.scale[0]
    if data.maps is None:
        return sample | {"target": root_sum_of_squares(full, 0)}
    return sample | {"maps": data.maps[0], "target": (data.maps[0].conj() * full).sum(0).abs()}


def _augment(rng: Generator, image: NDArray[np.float32], size: tuple[int, int]) -> Tensor:
    """Turn, flip, zoom and shift into the wanted size; vary contrast and shading."""
    if rng.random() < 0.5:
        image = image[:, ::-1]
    image = np.rot90(image, int(rng.integers(4)))
    angle = np.deg2rad(rng.normal(0, 8))
    longest = max(image.shape)
    # 1 fits the longer side of the volume to the shorter side of the image; larger shows a part, smaller leaves a rim.
    zoom = np.exp(rng.normal(0.1, 0.18))
    stretch = np.exp(rng.normal(0, 0.06))
    scale_y = size[0] / min(size) / zoom * stretch * longest / image.shape[0]
    scale_x = size[1] / min(size) / zoom / stretch * longest / image.shape[1]
    shift = rng.normal(0, 0.06, 2)
    theta = torch.tensor(
        [
            [scale_x * np.cos(angle), -scale_x * np.sin(angle), shift[0]],
            [scale_y * np.sin(angle), scale_y * np.cos(angle), shift[1]],
        ],
        dtype=torch.float32,
    )
    grid = torch.nn.functional.affine_grid(theta[None], [1, 1, *size], align_corners=False)
    source = torch.from_numpy(np.ascontiguousarray(image))[None, None]
    shrink = max(image.shape[0] / size[0] * scale_y, image.shape[1] / size[1] * scale_x)
    if shrink > 1.6:  # bilinear sampling alone would alias
        source = torch.nn.functional.avg_pool2d(source, 2)
    sampled = torch.nn.functional.grid_sample(source, grid, mode="bilinear", align_corners=False)[0, 0]
    sampled = sampled.clamp(0, 2)
    sampled = sampled ** float(np.exp(rng.normal(0, 0.25)))
    peak = float(sampled.max())
    if peak <= 0:
        raise RequestError("an augmented slice came out empty; the volume has a slice without content.")
    return sampled / peak
