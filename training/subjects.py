"""Who validates: data is split by subject, never by slice, and the same subjects are drawn every time."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from recon.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# Names of sub-folders, alone or behind fastMRI's `multicoil_` and `singlecoil_`.
_PARTS = {"train": "train", "training": "train", "val": "validation", "validation": "validation"}

_HELD_OUT = ", who validates; it does not train."


def held_out(subject: str) -> str:
    """Return why a training volume of a subject who validates is left out."""
    return f"shows {subject}{_HELD_OUT}"


def without_subject(reason: str) -> str:
    """Return a reason in which `held_out` names no subject, for readers elsewhere."""
    return "shows a subject who validates; it does not train." if reason.endswith(_HELD_OUT) else reason


def part_of(path: Path, root: Path) -> str | None:
    """Return ``train`` or ``validation`` where a sub-folder of the root says so, ``""`` where it says something else.

    Parameters
    ----------
    path
        A file beneath the root.
    root
        Folder of the data.

    Returns
    -------
    The part; None for a file that lies in no sub-folder.
    """
    folders = path.relative_to(root).parts[:-1]
    if not folders:
        return None
    return _PARTS.get(re.split(r"[_\- ]", folders[0].lower())[-1], "")


def subject_of(path: Path, root: Path) -> str:
    """Return the subject whom a file shows, by its place and name.

    A BIDS label (``sub-…``) counts first; then the sub-folder of the root, or of its part for training or validation;
    a file that lies in none shows a subject of its own.
    """
    inside = list(path.relative_to(root).parts)
    for name in inside:
        if found := re.match(r"sub-[0-9a-zA-Z]+", name):
            return found[0]
    if len(inside) > 1 and part_of(path, root):
        inside = inside[1:]
    return inside[0] if len(inside) > 1 else inside[0].split(".")[0]


def draw(subjects: Sequence[str], share: float, seed: int) -> frozenset[str]:
    """Draw the subjects who validate.

    Each subject has a place in an order that depends on the seed and the subject's own name alone, so that new data
    moves few of the others.

    Parameters
    ----------
    subjects
        All of them; the order and repetitions do not matter.
    share
        How many validate, at least one.
    seed
        Another seed, another order.
    """

    def place(subject: str) -> str:
        return hashlib.sha256(f"{seed}/{subject}".encode()).hexdigest()

    ordered = sorted(set(subjects), key=place)
    return frozenset(ordered[: max(1, round(share * len(ordered)))])


def split(
    folder: Path, entries: Sequence[tuple[str | None, str]], share: float, seed: int
) -> tuple[list[int], list[int], list[int]]:
    """Split data into what trains, what validates, and what does neither.

    Parameters
    ----------
    folder
        Where the data lies, for the message.
    entries
        ``(part, subject)`` of each volume, see `part_of`.
    share, seed
        See `draw`; only used where no sub-folder says what is for what.

    Returns
    -------
    Indices of the training volumes, of the validation volumes, and of those in training folders that show a subject
    who validates.

    Raises
    ------
    FileError
        If one side would be empty.
    """
    parts = {part for part, _ in entries}
    if {"train", "validation"} <= parts:
        validation = [index for index, (part, _) in enumerate(entries) if part == "validation"]
        held_out = frozenset(entries[index][1] for index in validation)
        candidates = [index for index, (part, _) in enumerate(entries) if part == "train"]
        training = [index for index in candidates if entries[index][1] not in held_out]
        if not training:
            names = sorted({entries[index][1] for index in candidates})
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            raise FileError(
                folder,
                f"every subject in its training folder is also in its validation folder ({shown}), which would flatter "
                "the scores; move the files of each subject into one of the two.",
            )
        return training, validation, [index for index in candidates if entries[index][1] in held_out]
    subjects = [subject for _, subject in entries]
    if len(set(subjects)) < 2:
        raise FileError(
            folder,
            f"everything usable in it shows one subject ({subjects[0] if subjects else 'none'}); validation needs "
            "another one. Add data, or make sub-folders train and val.",
        )
    held_out = draw(subjects, share, seed)
    sides = [subject in held_out for subject in subjects]
    if all(sides):
        raise FileError(folder, f"a validation share of {share:g} leaves none of its subjects for training.")
    everything = range(len(entries))
    return [index for index in everything if not sides[index]], [index for index in everything if sides[index]], []
