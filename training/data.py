"""What a recipe trains on: simulated or measured slices, opened once, handed out by number."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch.utils.data import Dataset, default_collate

from recon.errors import FileError, RequestError
from recon.io import sniff
from training.inspection import beside_raw, unreadable
from training.measured import MeasuredSlices, MeasuredValidation, SliceReader
from training.provenance import left_out, licences, unfilled, volume_sources
from training.scans import none_readable, notes_on, oddities_of, split_scans
from training.simulated import SimulatedSlices, ValidationSlices
from training.volumes import Volume, is_cut_three_ways, read_folder, read_volumes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from recon.data import Declined
    from training.config import TrainingConfig
    from training.scans import Scan

__all__ = ["SimulatedSlices", "TrainingData", "ValidationSlices", "Volume", "collate", "open_data", "read_volumes"]

_GROUPS = ("train", "validation")
# With fewer, fastMRI's share of the centre rounds to nothing, and a drawn mask may keep no column.
_MIN_COLUMNS = 2
# Scans whose slices are read before a training: what is odd about one reference is odd about most.
_MOST_LOOKED_INTO = 8


@dataclass(frozen=True)
class TrainingData:
    """The data of a recipe.

    Attributes
    ----------
    training
        Gives the samples from a number on: called with the first number and how many.
    validation
        The fixed validation samples.
    story
        What it is, as plain values for the record.
    declined
        What was left out, and why.
    note
        What the user should know of the folder; empty for most.
    count
        Says how much trains and validates without slices that cannot be read, which are given by path.
    """

    training: Callable[[int, int], Dataset[dict[str, Any]]]
    validation: Dataset[dict[str, Any]]
    story: dict[str, Any]
    declined: tuple[Declined, ...] = ()
    note: str = ""
    count: Callable[[Mapping[str, Collection[int]]], dict[str, Any]] = field(default=lambda _slices: {})

    def story_without(self, skipped: Mapping[str, str], slices: Mapping[str, Collection[int]]) -> dict[str, Any]:
        """Return the story when this was left out; see `training.provenance.left_out`."""
        return self.story | self.count(slices) | left_out(skipped, slices)


def open_data(config: TrainingConfig) -> TrainingData:
    """Open what the recipe names: ``images`` or ``kspace``.

    Raises
    ------
    FileError
        If nothing in it can train or validate.
    RequestError
        If the recipe names nothing.
    """
    if config.kspace:
        return _measured(config)
    if config.images:
        return _simulated(config)
    raise RequestError(
        "the recipe names no training images; add --set images=FILE.h5 or a folder of images, "
        "or --set kspace=FOLDER of fully sampled fastMRI files."
    )


def collate(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Stack samples to a batch; what they skipped becomes one list, present only where something was."""
    skipped = [entry for sample in samples for entry in sample.get("skipped", ())]
    batch: dict[str, Any] = default_collate([{k: v for k, v in sample.items() if k != "skipped"} for sample in samples])
    return batch | {"skipped": skipped} if skipped else batch


def _simulated(config: TrainingConfig) -> TrainingData:
    path = Path(config.images)
    declined: list[Declined] = []
    notes: tuple[str, ...] = ()
    if path.is_dir() or (path.is_file() and sniff(path) != "hdf5"):
        where = (Path(config.cache), 1e9 * config.cache_gb) if config.cache else ()
        training, validation, declined, notes = read_folder(path, config.validation_share, config.split_seed, *where)
    else:
        (training, unusable), (validation, others) = (read_volumes(path, group) for group in _GROUPS)
        declined = [*unusable, *others]
    validation = _some(validation, config.max_validation_volumes)
    story: dict[str, Any] = {
        "kspace": "simulated from magnitude images",
        "training": {"volumes": len(training), "slices": sum(len(volume.cuts) for volume in training)},
        "validation": {"volumes": len(validation)},
        "most_coils": config.max_simulated_coils,
    }
    if three_ways := sum(is_cut_three_ways(volume.voxels.shape) for volume in training):
        story["training"]["cut_along_three_axes"] = three_ways
    if path.is_dir():
        for group, held in (("training", training), ("validation", validation)):
            story[group]["subjects"] = len({volume.subject for volume in held})
    cut_sizes = {volume.cut(axis, index).shape for volume in validation for axis, index in volume.cuts if axis == 0}
    _check_accelerations(config, {*config.sizes, *(columns for _, columns in cut_sizes)})
    if path.is_file():
        used = {
            (group, volume.name) for group, held in zip(_GROUPS, (training, validation), strict=True) for volume in held
        }
        sources = [source for source in volume_sources(path) if (source["group"], source["volume"]) in used]
        story |= {"sources": sources, "licences": licences(source["licence"] for source in sources)}
    return TrainingData(
        lambda first, n_samples: SimulatedSlices(training, config, first, n_samples),
        ValidationSlices(validation, config),
        story,
        tuple(declined),
        _joined(*notes, unfilled(config, config.max_simulated_coils)),
    )


def _measured(config: TrainingConfig) -> TrainingData:
    folder = Path(config.kspace)
    training, validation, declined, notes = split_scans(folder, config.validation_share, config.split_seed)
    validation = _some(validation, config.max_validation_volumes)
    reader = SliceReader([*training, *validation], config)
    numbers = range(len(training))
    _check_accelerations(config, {reader.size(number)[1] for number in range(len(reader.scans))})
    validation_slices = MeasuredValidation(reader, range(len(training), len(reader.scans)))
    _check_readable(folder, training, validation_slices.drawn)
    most_coils = max(scan.series.n_coils for scan in training)
    simulated = [scan for scan in (*training, *validation) if scan.series.is_simulated]
    what = "measured" if not simulated else f"measured, but for {len(simulated)} simulated volumes"
    story = {
        "kspace": "simulated" if len(simulated) == len(training) + len(validation) else what,
        **_count(training, validation_slices.drawn, {}),
        "most_coils": most_coils,
        "licences": licences(scan.series.header.licence for scan in (*training, *validation)),
    }
    return TrainingData(
        lambda first, n_samples: MeasuredSlices(reader, numbers, first, n_samples),
        validation_slices,
        story,
        tuple(declined),
        _joined(beside_raw(folder), *notes, unfilled(config, most_coils), *_oddities([*training, *validation])),
        partial(_count, training, validation_slices.drawn),
    )


def _joined(*notes: str) -> str:
    return " ".join(note for note in notes if note)


def _oddities(scans: Sequence[Scan]) -> list[str]:
    """What is odd about scans by what their files say, and about some of them by what they hold."""
    said = [(scan.series.path, note) for scan in scans for note in scan.series.notes]
    looked = [scan.series for scan in _some([*scans], _MOST_LOOKED_INTO)]
    return notes_on([*said, *((one.path, odd) for one in looked for odd in oddities_of(one, one.n_slices // 2))])


def _check_readable(folder: Path, training: Sequence[Scan], drawn: Sequence[tuple[Scan, int]]) -> None:
    """Refuse data of which nothing that trains, or that validates, can be read: it would be found epochs later."""
    trains = ((scan.series, index) for scan in training for index in range(scan.series.n_slices))
    validates = ((scan.series, index) for scan, index in drawn)
    for side, places in zip(_GROUPS, (trains, validates), strict=True):
        reason = none_readable(places)
        if reason is not None:
            raise FileError(folder, unreadable(side, reason))


def _check_accelerations(config: TrainingConfig, widths: Collection[int]) -> None:
    """Refuse an acceleration at which some mask would be empty: a network learns nothing from it, in hours."""
    highest, narrowest = max(config.accelerations), min(widths)
    is_drawn = any(not kind.startswith("file:") for kind in config.mask_kinds)
    if is_drawn and highest > narrowest / _MIN_COLUMNS:
        raise RequestError(
            f"accelerations has {highest:g}, which leaves fewer than {_MIN_COLUMNS} of the {narrowest} columns of the "
            f"narrowest images; {narrowest / _MIN_COLUMNS:g} is the most."
        )


def _count(
    training: Sequence[Scan], drawn: Sequence[tuple[Scan, int]], slices: Mapping[str, Collection[int]]
) -> dict[str, Any]:
    """How much trains, and of how much slices are drawn that validate, without slices that cannot be read."""
    n_kept = [scan.series.n_slices - len(slices.get(str(scan.series.path), ())) for scan in training]
    trains = [scan for scan, n_slices in zip(training, n_kept, strict=True) if n_slices > 0]
    validates = [scan for scan, index in drawn if index not in slices.get(str(scan.series.path), ())]
    return {
        "training": {
            "volumes": len(trains),
            "slices": sum(n_kept),
            "subjects": len({scan.subject for scan in trains}),
        },
        "validation": {
            "volumes": len({scan.series.path for scan in validates}),
            "subjects": len({scan.subject for scan in validates}),
        },
    }


def _some(entries: list[Any], most: int) -> list[Any]:
    """At most so many, spread evenly; 0 takes all."""
    if not most or len(entries) <= most:
        return entries
    return [entries[place] for place in np.linspace(0, len(entries) - 1, most).round().astype(int)]
