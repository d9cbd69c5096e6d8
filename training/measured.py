"""Samples from measured scans: fully sampled raw data, undersampled by the pipeline's own masks.

Slices are read one by one as they are needed and go the way that they go in use: grid of the reconstruction,
pre-whitening, mask, `recon.pipeline.prepare`. A sample is a pure function of the recipe's seed and its number.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from recon import models, noise
from recon.errors import FileError, RequestError
from recon.io.check import overflow
from recon.masks import MaskSpec
from recon.models.fit import meet_coils
from recon.request import Request
from recon.sampling import on_grid, sampling_mask
from training.cache import SliceCache, identify, stored_coils
from training.sample import center_fraction, make_sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from recon.request import Grid
    from training.cache import Entry
    from training.config import TrainingConfig
    from training.scans import Scan


# A slice here and there may be damaged; when so many in a row are, the disk has gone.
_MAX_ATTEMPTS = 200


class Draw(NamedTuple):
    """What a sample is made of: a slice of `SliceReader.places`, a mask, and the coil of a single-coil network."""

    place: int
    mask: MaskSpec
    coil: int | None


class SliceReader:
    """Reads slices of scans as a network gets them.

    Parameters
    ----------
    scans
        Fully sampled scans.
    config
        The recipe.
    """

    def __init__(self, scans: Sequence[Scan], config: TrainingConfig) -> None:
        self.scans = list(scans)
        self.config = config
        self.card = models.get_card(config.model)
        self.native = config.grid == "native"
        self.places = [(number, index) for number, scan in enumerate(scans) for index in range(scan.series.n_slices)]
        self._cache: SliceCache | None = None
        self._entries: list[Entry] = []
        if config.cache:
            self._cache = SliceCache(Path(config.cache), 1e9 * config.cache_gb)
            self._entries = self._cache.allot(self._facts(number) for number in range(len(self.scans)))

    def center_fraction(self, number: int, acceleration: float) -> float | None:
        """Return the centre fraction of the masks of a scan, see `training.sample.center_fraction`."""
        return center_fraction(self.card, acceleration, self.size(number)[1])

    def size(self, number: int) -> tuple[int, int]:
        """Return ``(y, x)`` of a scan on the grid of the recipe."""
        series = self.scans[number].series
        return series.matrix if self.native else series.recon_size

    def n_virtual(self, number: int) -> tuple[int, bool]:
        """Return the virtual coils of a scan, and whether a single-coil network takes them one by one."""
        config = self.config
        asked = config.n_coils if self.card.any_coils else None
        return meet_coils(self.card, config.n_coils, self.scans[number].series.n_coils, asked)

    def read(self, place: int, mask: MaskSpec, coil: int | None) -> dict[str, Tensor]:
        """Return a sample, see `training.sample.make_sample`.

        Raises
        ------
        FileError
            If the slice is damaged.
        RequestError
            If the mask does not fit the scan.
        """
        number, index = self.places[place]
        series = self.scans[number].series
        request = Request(mask=mask, grid=_grid(self.config))
        sampling = torch.from_numpy(sampling_mask(series, request).mask)
        if not bool(sampling.any()):
            raise RequestError(
                f"the mask keeps none of the columns that were acquired in {series.name}; lower the acceleration."
            )
        if self._cache is None:
            kspace = self._kspace(number, index)
        else:
            kspace = self._cache.get(self._entries[number], index, lambda: self._kspace(number, index))
        n_virtual, _ = self.n_virtual(number)
        sample = make_sample(kspace, sampling, n_virtual, self.card, coil)
        if self.config.target == "reference" and coil is None:
            reference = series.reference
            assert reference is not None  # scans without one do not train
            sample["target"] = torch.from_numpy(np.ascontiguousarray(reference[index])) / sample["scale"]
        # What an older version put into the cache was not judged as it was read.
        if not all(bool(sample[name].isfinite().all()) for name in ("zero_filled", "scale", "target")):
            raise overflow(series, index)
        return sample

    def _kspace(self, number: int, index: int) -> Tensor:
        """The full k-space of a slice as the pipeline has it before the mask."""
        series = self.scans[number].series
        kspace = on_grid(series.read(index).kspace, series, native=self.native)
        matrix = self._whitening(number)
        return kspace if matrix is None else noise.mix(kspace, matrix)

    @lru_cache(maxsize=4096)  # noqa: B019  the reader lives as long as the run
    def _whitening(self, number: int) -> Tensor | None:
        series = self.scans[number].series
        return None if series.noise is None else noise.whitening(torch.from_numpy(series.noise), series.n_coils)

    def _facts(self, number: int) -> tuple[str, int, int, tuple[int, int]]:
        series = self.scans[number].series
        n_virtual, _ = self.n_virtual(number)
        n_coils = stored_coils(series.n_coils, n_virtual)
        settings: dict[str, object] = {
            "grid": self.config.grid,
            "coils": n_coils,
            "size": list(self.size(number)),
            # A file of ISMRMRD holds several.
            "series": [series.title, series.fingerprint],
        }
        return identify(series.path, settings), series.n_slices, n_coils, self.size(number)


class MeasuredSlices(Dataset[dict[str, Any]]):
    """Measured samples, numbered from ``first``: every slice once in a random order, then again in another.

    A slice that cannot be read is replaced by the next one of its size, and the sample names it under ``skipped``:
    path, reason and index of the slice.

    Parameters
    ----------
    reader
        The scans.
    numbers
        Those of them that train.
    first, n_samples
        Range of sample numbers.
    """

    def __init__(self, reader: SliceReader, numbers: range, first: int, n_samples: int) -> None:
        self.reader = reader
        self.first = first
        self.n_samples = n_samples
        groups: dict[tuple[int, int], list[int]] = {}
        for place, (number, _) in enumerate(reader.places):
            if number not in numbers:
                continue
            groups.setdefault(reader.size(number), []).append(place)
        # Samples of a batch have one size, so that they stack.
        self._groups = [np.array(group) for group in groups.values()]
        self._latest: tuple[int, NDArray[np.int64]] | None = None

    def __len__(self) -> int:
        return self.n_samples

    def __getitem__(self, index: int) -> dict[str, Any]:
        draw = self.draw(self.first + index)
        group = next(group for group in self._groups if draw.place in group)
        start = int(np.flatnonzero(group == draw.place)[0])
        order = (int(group[(start + step) % len(group)]) for step in range(len(group)))
        return _first_readable(self.reader, order, draw)

    def draw(self, number: int) -> Draw:
        """Return what sample ``number`` is made of."""
        config = self.reader.config
        batch, position = divmod(number, config.batch_size)
        n_batches = sum(max(1, len(group) // config.batch_size) for group in self._groups)
        place = int(self._order(batch // n_batches)[batch % n_batches, position])
        kind = str(np.random.default_rng([config.seed, 6, batch]).choice(config.mask_kinds))
        rng = np.random.default_rng([config.seed, 7, number])
        scan = self.reader.places[place][0]
        acceleration = float(rng.choice(config.accelerations))
        share = self.reader.center_fraction(scan, acceleration)
        spec = MaskSpec(kind, acceleration, share, seed=int(rng.integers(2**31)))
        n_virtual, coil_by_coil = self.reader.n_virtual(scan)
        return Draw(place, spec, int(rng.integers(n_virtual)) if coil_by_coil else None)

    def describe(self, number: int) -> str:
        """Say what sample ``number`` is made of."""
        draw = self.draw(number)
        scan, index = self.reader.places[draw.place]
        coil = "" if draw.coil is None else f", virtual coil {draw.coil}"
        return f"slice {index} of {self.reader.scans[scan].series.name}{coil}, {draw.mask.label}"

    def _order(self, lap: int) -> NDArray[np.int64]:
        """Places ``(batch, sample)`` of one lap through all slices."""
        if self._latest is None or self._latest[0] != lap:
            rng = np.random.default_rng([self.reader.config.seed, 5, lap])
            size = self.reader.config.batch_size
            batches = []
            for group in self._groups:
                mixed = rng.permutation(group)
                # What is left over by whole batches stays out of this lap; too few for one batch come repeatedly.
                n_batches = max(1, len(mixed) // size)
                batches.append(np.resize(mixed, n_batches * size).reshape(n_batches, size))
            self._latest = lap, rng.permutation(np.concatenate(batches))
        return self._latest[1]


class MeasuredValidation(Dataset[dict[str, Any]]):
    """The same slices at every validation, each volume with the mask that its file name gives.

    Parameters
    ----------
    reader
        The scans.
    numbers
        Those of them that validate.
    """

    def __init__(self, reader: SliceReader, numbers: range) -> None:
        self.reader = reader
        config = reader.config
        self.items: list[Draw] = []
        places = {entry: place for place, entry in enumerate(reader.places)}
        for number in numbers:
            n_slices = reader.scans[number].series.n_slices
            chosen = (np.linspace(0.2, 0.8, config.validation_slices) * (n_slices - 1)).round().astype(int)
            kind = config.mask_kinds[number % len(config.mask_kinds)]
            acceleration = config.accelerations[0]
            spec = MaskSpec(kind, acceleration, reader.center_fraction(number, acceleration), seed="filename")
            coil = 0 if reader.n_virtual(number)[1] else None
            self.items += [Draw(places[number, index], spec, coil) for index in dict.fromkeys(chosen.tolist())]

    @property
    def drawn(self) -> list[tuple[Scan, int]]:
        """The scans and slices that validate."""
        return [
            (self.reader.scans[number], index)
            for number, index in (self.reader.places[draw.place] for draw in self.items)
        ]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        # Another volume stands in for one that is damaged, and the next time the same one.
        order = [*range(index, len(self.items)), *range(index)]
        return _first_readable(self.reader, [self.items[other].place for other in order], self.items[index])


def _first_readable(reader: SliceReader, places: Iterable[int], draw: Draw) -> dict[str, Any]:
    """The first of some slices that can be read, and which could not."""
    skipped: list[tuple[str, str, int]] = []
    for place in islice(places, _MAX_ATTEMPTS):
        try:
            sample: dict[str, Any] = reader.read(place, draw.mask, draw.coil)
        except (FileError, OSError) as error:
            number, index = reader.places[place]
            path = reader.scans[number].series.path
            if isinstance(error, FileError) and Path(error.path) != path:
                raise  # a mask's file, say: another slice would not help
            skipped.append((str(path), str(getattr(error, "problem", error)), index))
        else:
            return {**sample, "skipped": skipped} if skipped else sample
    first, problem, _ = skipped[0]
    raise FileError(first, f"{problem} Nor can the next {len(skipped) - 1} slices be read; check the disk.")


def _grid(config: TrainingConfig) -> Grid:
    return "native" if config.grid == "native" else "cropped"
