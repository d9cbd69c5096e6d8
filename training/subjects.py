"""Who validates: data is split by subject, never by slice, and the same subjects are drawn every time."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple

from recon.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# Words that say what a sub-folder is for, also run together with what they are data of (`trainset`, `Testdaten`).
_PART = re.compile(
    "(?:(?P<train>train|trainings?)|(?P<validation>val|valid|validation|validierungs?)|(?P<test>tests?|testing))"
    "(?:data|daten|files|images|sets?)?"
)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SUBJECT = re.compile(r"sub-[0-9a-zA-Z]+")

_HELD_OUT = ", who validates; it does not train."


def held_out(subject: str) -> str:
    """Return why a training volume of a subject who validates is left out."""
    return f"shows {subject}{_HELD_OUT}"


def without_subject(reason: str) -> str:
    """Return a reason in which `held_out` names no subject, for readers elsewhere."""
    return "shows a subject who validates; it does not train." if reason.endswith(_HELD_OUT) else reason


class Sides(NamedTuple):
    """What `split` makes of data.

    Attributes
    ----------
    training, validation
        Indices of the volumes that train, and of those that validate.
    shared
        Indices of those in training folders that show a subject who validates.
    is_drawn
        True where the subjects who validate were drawn, as no sub-folder says who does.
    notes
        What is not used because of the folder that it lies in, in sentences.
    """

    training: list[int]
    validation: list[int]
    shared: list[int]
    is_drawn: bool
    notes: tuple[str, ...]


def part_of(path: Path, root: Path) -> str | None:
    """Return what a file is for by the names of its sub-folders of the root, ``""`` where they do not say it.

    Parameters
    ----------
    path
        A file beneath the root.
    root
        Folder of the data.

    Returns
    -------
    ``train``, ``validation``, ``test`` or ``""``; None for a file that lies in no sub-folder.
    """
    folders = path.relative_to(root).parts[:-1]
    return _find_part(folders)[1] if folders else None


def subject_of(path: Path, root: Path) -> str:
    """Return the subject whom a file shows, by its place and name.

    A BIDS label (``sub-…``) counts first; then the sub-folder of the root, or of its part for training, validation or
    test; a file that lies in none shows a subject of its own.
    """
    inside = path.relative_to(root).parts
    for name in inside:
        if found := _SUBJECT.match(name):
            return found[0]
    inside = inside[_find_part(inside[:-1])[0] :]
    return inside[0] if len(inside) > 1 else inside[0].split(".")[0]


def _find_part(folders: Sequence[str]) -> tuple[int, str]:
    """How many folders it takes down to the one that says what it is for, and what it says; 0 where none does."""
    for number, name in enumerate(folders, 1):
        if _SUBJECT.match(name):
            break  # what lies in the folder of a subject is for the same: `ses-test` is a visit
        words = [_PART.fullmatch(word.lower()) for word in _WORDS.findall(name)]
        said = {word.lastgroup for word in words if word}
        if len(said) == 1 and (part := said.pop()):
            return number, part
    return 0, ""


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


def split(folder: Path, entries: Sequence[tuple[str | None, str]], share: float, seed: int) -> Sides:
    """Split data into what trains, what validates, and what does neither.

    Parameters
    ----------
    folder
        Where the data lies, for the message.
    entries
        ``(part, subject)`` of each volume, see `part_of`.
    share, seed
        See `draw`; only used where no sub-folder says who validates.

    Raises
    ------
    FileError
        If one side would be empty, or only one side has a folder.
    """
    places: dict[str, list[int]] = {"train": [], "validation": [], "test": [], "": []}
    for index, (part, _) in enumerate(entries):
        places[part or ""].append(index)
    notes = [_unused(places["test"], "folders for testing")] if places["test"] else []
    if places["train"] and places["validation"]:
        if places[""]:
            notes.append(_unused(places[""], "other sub-folders than train and val"))
        return _by_folder(folder, entries, places["train"], places["validation"], notes)
    if places["validation"]:
        raise FileError(
            folder,
            "has a folder for validation and none for training; name the folders train and val, or give the one folder "
            "itself, and it is split by subject.",
        )
    if places["train"] and places[""]:
        raise FileError(
            folder,
            f"has a folder for training, none for validation, and {_volumes(places[''])} elsewhere, whose folders do "
            "not say what they are for; name the folders train, val and test.",
        )
    candidates = places["train"] or places[""]
    if places["test"] and not candidates:
        raise FileError(
            folder,
            "everything usable in it lies in folders for testing, which never train; if it is to train, name such a "
            "folder itself.",
        )
    subjects = [entries[index][1] for index in candidates]
    if len(set(subjects)) < 2:
        raise FileError(
            folder,
            f"everything usable in it shows one subject ({subjects[0] if subjects else 'none'}); validation needs "
            "another one. Add data, or make sub-folders train and val.",
        )
    drawn = draw(subjects, share, seed)
    training = [index for index in candidates if entries[index][1] not in drawn]
    if not training:
        raise FileError(folder, f"a validation share of {share:g} leaves none of its subjects for training.")
    validation = [index for index in candidates if entries[index][1] in drawn]
    return Sides(training, validation, [], is_drawn=True, notes=tuple(notes))


def _by_folder(
    folder: Path,
    entries: Sequence[tuple[str | None, str]],
    candidates: list[int],
    validation: list[int],
    notes: list[str],
) -> Sides:
    held_out = frozenset(entries[index][1] for index in validation)
    training = [index for index in candidates if entries[index][1] not in held_out]
    if not training:
        names = sorted({entries[index][1] for index in candidates})
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        raise FileError(
            folder,
            f"every subject in its training folder is also in its validation folder ({shown}), which would flatter "
            "the scores; move the files of each subject into one of the two.",
        )
    shared = [index for index in candidates if entries[index][1] in held_out]
    return Sides(training, validation, shared, is_drawn=False, notes=tuple(notes))


def _unused(left: list[int], where: str) -> str:
    lie, are = ("lies", "is") if len(left) == 1 else ("lie", "are")
    return f"{_volumes(left)} {lie} in {where}, and {are} not used."


def _volumes(indices: list[int]) -> str:
    return f"{len(indices)} volume{'' if len(indices) == 1 else 's'}"
