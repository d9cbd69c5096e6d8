"""Measured scans that can train: which files of a folder, whom they show, and what is wrong with the others.

Nothing here computes, so that a dialog can ask before torch is loaded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recon.data import Declined
from recon.errors import FileError, MRIError
from recon.io import open_study
from training import subjects

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from recon.data import Series, Study

# Smaller k-space has no room for the networks' coarsest scale.
_MIN_SIZE = 32
_EXPECTED = "a folder of fully sampled raw data in the fastMRI layout was expected"


@dataclass(frozen=True, eq=False)
class Scan:
    """A fully sampled scan, and where it belongs.

    Attributes
    ----------
    series
        The scan.
    part, subject
        See `training.subjects`.
    """

    series: Series
    part: str | None
    subject: str


def find_scans(folder: Path) -> tuple[list[Scan], list[Declined]]:
    """Return the scans of a folder tree that can train, in the order of their names, and the other files with reasons.

    Raises
    ------
    FileError
        If the folder cannot be read or holds nothing that can be opened.
    """
    if not folder.is_dir():
        raise FileError(folder, f"is no folder; {_EXPECTED}.")
    study = _open(folder)
    scans, declined = [], list(study.declined)
    for series in study.series:
        reason = why_not(series)
        if reason is not None:
            declined.append(Declined(series.path, reason))
            continue
        subject = series.header.patient_id or subjects.subject_of(series.path, folder)
        scans.append(Scan(series, subjects.part_of(series.path, folder), subject))
    return scans, declined


def _open(folder: Path) -> Study:
    if not any(folder.iterdir()):
        raise FileError(folder, f"is an empty folder; {_EXPECTED}.")
    return open_study(folder)


def why_not(series: Series) -> str | None:
    """Return why a series cannot train, None where it can."""
    if not series.has_kspace:
        return "holds images, not raw data; name the folder of images by `images`, and k-space is simulated from them."
    if series.acquired_mask is not None:
        kept = int(series.acquired_mask.sum())
        factor = f" ({series.acquired_mask.size / kept:.1f}-fold)" if kept else ""
        return f"was undersampled when it was measured{factor}; training needs fully sampled data to aim at."
    if not series.has_reference:
        return "has no fully sampled reference; training needs one to aim at."
    if min(series.recon_size) < _MIN_SIZE:
        rows, columns = series.recon_size
        return f"is {rows} × {columns}; at least {_MIN_SIZE} × {_MIN_SIZE} are needed."
    return None


def split_scans(
    folder: Path, share: float, seed: int
) -> tuple[list[Scan], list[Scan], list[Declined], tuple[str, ...]]:
    """Return the scans of a folder that train, those that validate, what was left out, and notes on the folders.

    Parameters
    ----------
    folder
        Folder of fully sampled scans, with or without sub-folders for training and validation.
    share, seed
        How many subjects validate and which, where no sub-folder says so.

    Raises
    ------
    FileError
        If there is nothing to train or to validate on; the reasons are named.
    """
    scans, declined = find_scans(folder)
    if not scans:
        raise FileError(folder, nothing(declined))
    entries = [(scan.part, scan.subject) for scan in scans]
    sides = subjects.split(folder, entries, share, seed)
    declined += [Declined(scans[index].series.path, subjects.held_out(scans[index].subject)) for index in sides.shared]
    training, validation = ([scans[index] for index in side] for side in (sides.training, sides.validation))
    return training, validation, declined, sides.notes


def nothing(declined: list[Declined]) -> str:
    """Return the sentence about a folder of which no file can train."""
    if not declined:
        return f"holds no scan; {_EXPECTED}."
    first = declined[0]
    others = f", and {len(declined) - 1} more cannot either" if len(declined) > 1 else ""
    return f"holds no scan that can train: {first.path.name} {first.reason.rstrip('.')}{others}; {_EXPECTED}."


def readable(series: Series, indices: range | list[int]) -> str | None:
    """Read slices; return the sentence about the first that cannot be used, None where all can."""
    from recon.io.check import check_kspace

    for index in indices:
        try:
            check_kspace(series.source.kspace(index), series, index)
            series.source.reference(index)
        except (MRIError, OSError) as error:
            return str(getattr(error, "problem", error))
    return None


def oddities_of(series: Series, index: int) -> list[str]:
    """Return what `recon.plausibility` finds odd about a slice; nothing of one that cannot be read."""
    from recon.plausibility import findings

    try:
        return [f"slice {index}: {finding}" for finding in findings(series.read(index))]
    except (MRIError, OSError):
        return []


def notes_on(said: Iterable[tuple[Path, str]]) -> list[str]:
    """Return notes on files, each once with the first file that it is on and how many others.

    Numbers tell no notes apart: they differ from file to file.
    """
    found: dict[str, tuple[Path, str, set[Path]]] = {}
    for path, note in said:
        found.setdefault(re.sub(r"[\d.,]+", "#", note), (path, note, set()))[2].add(path)
    return [
        f"{path.name}{f' and {len(paths) - 1} more' if len(paths) > 1 else ''}: {note}"
        for path, note, paths in found.values()
    ]


def none_readable(places: Iterable[tuple[Series, int]]) -> str | None:
    """Return a sentence about the first of some slices if none of them can be read, None where one can."""
    first = None
    for series, index in places:
        reason = readable(series, [index])
        if reason is None:
            return None
        first = first or f"{series.path.name}: {reason}"
    return first
