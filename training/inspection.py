"""What is in a folder of training data, before anyone trains on it: for the settings dialog and the command line."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from recon.data import Declined
from recon.errors import FileError
from recon.io import IMAGES, IS_RESULT, RAW, folders, images, is_raw, sniff
from training import scans, subjects, volumes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from recon.data import Series

Read = Literal["nothing", "middle", "everything"]

_SIDES = ("train", "validation")
_MOST_NAMED = 3


@dataclass
class Part:
    """What trains, or what validates.

    Attributes
    ----------
    n_volumes, n_slices, n_subjects
        How many.
    coils, sizes, sequences
        How many volumes have so many coils, images of this size, and are of this sequence.
    """

    n_volumes: int = 0
    n_slices: int = 0
    n_subjects: int = 0
    coils: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    sequences: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Inspection:
    """What a folder (or file) of training data holds.

    Attributes
    ----------
    path
        The folder or file.
    key
        What a recipe names it by: ``kspace`` or ``images``; empty where it cannot train.
    parts
        ``train`` and ``validation``, as a recipe with the same share and seed would split it.
    unusable
        Files that cannot be used, and why.
    notes
        What the user should know.
    problem
        Why nothing can be trained on it; None where it can.
    """

    path: Path
    key: str
    parts: dict[str, Part]
    unusable: tuple[Declined, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str | None = None

    @property
    def is_usable(self) -> bool:
        """True where a training can start on it."""
        return self.problem is None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        return {
            "path": str(self.path),
            "key": self.key,
            "usable": self.is_usable,
            "problem": self.problem,
            "parts": {name: asdict(part) for name, part in self.parts.items()},
            "unusable": [{"path": str(entry.path), "reason": entry.reason} for entry in self.unusable],
            "notes": list(self.notes),
        }

    def to_text(self, most: int = 10) -> str:
        """Return it in words; at most so many unusable files are named."""
        lines = [str(self.path)]
        kinds = {"kspace": "fully sampled raw data", "images": "magnitude images, whose k-space is simulated"}
        if self.key:
            lines.append(f"  {kinds[self.key]}; a recipe names it {self.key} = {str(self.path)!r}")
        for name, part in self.parts.items():
            lines.append(
                f"  {name}: {_count(part.n_volumes, 'volume')}, {_count(part.n_slices, 'slice')}, "
                f"{_count(part.n_subjects, 'subject')}"
            )
            lines += [
                f"    {title}: {', '.join(f'{value} ({number})' for value, number in values.items())}"
                for title, values in (("coils", part.coils), ("size", part.sizes), ("sequence", part.sequences))
                if values
            ]
        if self.unusable:
            noun = "volume" if self.path.is_file() else "file"
            lines.append(f"  {_count(len(self.unusable), noun)} cannot be used:")
            lines += [f"    {_name(entry.path, self.path)}: {entry.reason}" for entry in self.unusable[:most]]
            if len(self.unusable) > most:
                lines.append(f"    and {len(self.unusable) - most} more")
        lines += [f"  note: {note}" for note in self.notes]
        if self.problem:
            lines.append(f"  problem: {self.problem}")
        return "\n".join(lines)


@dataclass(frozen=True)
class _Volume:
    part: str | None
    subject: str
    n_slices: int
    size: tuple[int, int]
    sequence: str
    n_coils: int = 0
    is_damaged: bool = False
    scan: Series | None = None
    oddities: tuple[str, ...] = ()


def inspect(
    folder: Path | str,
    *,
    read: Read = "middle",
    validation_share: float = 0.1,
    split_seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> Inspection:
    """Look at training data; never raises for what is in it.

    Parameters
    ----------
    folder
        Folder of fastMRI files or of images, one file of them, or an HDF5 file of magnitude volumes.
    read
        Slices of each raw data file to read: headers alone find no damaged data, the middle slice finds most.
    validation_share, split_seed
        See `training.config.TrainingConfig`.
    progress
        Called with the share that is done; what it raises ends the inspection.

    Raises
    ------
    FileError
        If there is no such folder or file, or it may not be read.
    """
    path = Path(folder)
    tell = progress or _say_nothing
    if not path.exists():
        raise FileError(path, "there is no such folder; check the spelling.")
    if path.is_file() and sniff(path) == "hdf5":
        return _file(path)
    n_raw, n_images, unknown = _count_kinds(path)
    if not n_raw and not n_images:
        return _nothing(path, unknown)
    notes = [_mixed(n_raw, n_images)] if n_raw and n_images else []
    found, unusable = _raw(path, read, tell) if n_raw else _images(path, n_images, read, tell)
    notes += _three_ways(found) if not n_raw else []
    notes += scans.notes_on((one.scan.path, note) for one in found if one.scan for note in one.oddities)
    key = "kspace" if n_raw else "images"
    if n_raw:
        # What is wrong with images beside the raw data does not matter: they do not train.
        unusable = [entry for entry in unusable if entry.path == path or _is_meant_raw(entry.path)]
        refused = [entry.path for entry in unusable if entry.path != path] or list(folders.files(path))
        notes += [
            f"{_name(one, path)} is a file of magnitude volumes: name the file itself by `images`."
            for one in (refused if len(found) < n_raw else ())
            if _is_raw(one) and volumes.is_volume_file(one)
        ]
    entries = [(volume.part, volume.subject) for volume in found]
    if all(volume.is_damaged for volume in found):
        if len(unusable) == 1 and unusable[0].path == path:
            return Inspection(path, "", {}, (), tuple(notes), unusable[0].reason)
        reason = scans.nothing(unusable) if n_raw else volumes.nothing(unusable)
        return Inspection(path, "", {}, tuple(unusable), tuple(notes), reason)
    try:
        sides = subjects.split(path, entries, validation_share, split_seed)
    except FileError as error:
        everything = {"found": _summary(found)}
        return Inspection(path, key, everything, tuple(unusable), tuple(notes), error.problem)
    parts = {name: _summary([found[index] for index in side]) for name, side in zip(_SIDES, sides[:2], strict=True)}
    notes += _notes(found, sides, validation_share, split_seed)
    problems = [_side_problem(name, [found[i] for i in side]) for name, side in zip(_SIDES, sides[:2], strict=True)]
    problem = " ".join(problem for problem in problems if problem) or None
    return Inspection(path, key, parts, tuple(unusable), tuple(notes), problem)


def unreadable(side: str, reason: str) -> str:
    """Return the sentence about the volumes that train, or that validate, where none of their slices can be read."""
    verb = {"train": "trains", "validation": "validates"}[side]
    return f"nothing in it that {verb} can be read ({reason.rstrip('.')}); mend these files, or add others."


def _side_problem(side: str, volumes_found: Sequence[_Volume]) -> str:
    """Only slices that were read tell: where all of them are damaged, one of the others may still be whole."""
    if not all(volume.is_damaged for volume in volumes_found):
        return ""
    series = [volume.scan for volume in volumes_found if volume.scan is not None]
    reason = scans.none_readable((one, index) for one in series for index in range(one.n_slices))
    return unreadable(side, reason) if reason else ""


def _three_ways(found: Sequence[_Volume]) -> list[str]:
    number = sum(volumes.is_cut_three_ways((volume.n_slices, *volume.size)) for volume in found)
    if not number:
        return []
    what = "is about as deep as it is wide and gives" if number == 1 else "are about as deep as they are wide and give"
    return [f"{_count(number, 'volume')} {what} slices along all three axes: more than are counted here."]


def beside_raw(folder: Path) -> str:
    """Return what a training on the raw data of a folder says of the images beside it; empty where there are none."""
    n_raw, n_images, _ = _count_kinds(folder)
    return _mixed(n_raw, n_images) if n_images else ""


def _mixed(n_raw: int, n_images: int) -> str:
    return (
        f"The folder is mixed: {_count(n_raw, 'file')} of raw data and {_count(n_images, 'image file')}. Only the raw "
        "data trains; put the images elsewhere and name that folder by `images` to train on them."
    )


def _count_kinds(folder: Path) -> tuple[int, int, list[Declined]]:
    """How many files of raw data and of images there are, and what the others are."""
    n_raw = n_images = 0
    others: list[Declined] = []
    for path in folders.files(folder):
        name = path.name.lower()
        if name.endswith((*images.PICTURES, *images.NIFTI)):
            n_images += 1
            continue
        try:
            content = sniff(path)
            holds_raw = is_raw(path, content)
        except FileError as error:
            others.append(Declined(path, error.problem))
            continue
        if holds_raw:
            n_raw += 1
        elif content in IMAGES or name.endswith(images.ARRAYS):
            n_images += 1
        elif content == "cfl":
            # The header of a pair is no file of its own.
            others += [] if path.suffix.lower() == ".hdr" else [Declined(path, "is a BART array, but no k-space.")]
        else:
            others.append(Declined(path, f"{IS_RESULT if content == 'hdf5' else content}."))
    return n_raw, n_images, others


def _raw(folder: Path, read: Read, tell: Callable[[float], None]) -> tuple[list[_Volume], list[Declined]]:
    try:
        usable, unusable = scans.find_scans(folder)
    except FileError as error:
        # Nothing in it opens; the sentence names the first file and why.
        return [], [Declined(folder, error.problem)]
    found = []
    for number, scan in enumerate(usable):
        tell(number / len(usable))
        series = scan.series
        middle = [series.n_slices // 2] if read == "middle" else []
        reason = scans.readable(series, range(series.n_slices) if read == "everything" else middle)
        if reason is not None:
            unusable.append(Declined(series.path, reason))
        oddities = [] if reason or read == "nothing" else scans.oddities_of(series, series.n_slices // 2)
        sequence = series.header.acquisition or series.header.protocol or "unknown"
        # A training finds the damage later, slice by slice: it splits with the damaged scans, so they stay in.
        found.append(
            _Volume(
                scan.part,
                scan.subject,
                series.n_slices,
                series.recon_size,
                sequence,
                series.n_coils,
                is_damaged=reason is not None,
                scan=series,
                oddities=(*series.notes, *oddities),
            )
        )
    tell(1.0)
    return found, unusable


def _images(
    folder: Path, n_files: int, read: Read, tell: Callable[[float], None]
) -> tuple[list[_Volume], list[Declined]]:
    found: list[_Volume] = []
    unusable: list[Declined] = []
    n_done = 0
    for entry in volumes.find_volumes(folder):
        n_done += 1 if isinstance(entry, Declined) else len(entry.paths)
        problem = entry if isinstance(entry, Declined) else _damage(entry, read)
        if problem is not None:
            unusable.append(problem)
        elif not isinstance(entry, Declined):
            n_slices, rows, columns = entry.shape
            found.append(_Volume(entry.part, entry.subject, n_slices, (rows, columns), entry.kind))
        tell(min(n_done / n_files, 1.0))
    return found, unusable


def _damage(volume: volumes.FoundVolume, read: Read) -> Declined | None:
    try:
        if read != "nothing":
            volume.check(thoroughly=read == "everything")
    except FileError as error:
        return Declined(volume.paths[0], error.problem)
    return None


def _file(path: Path) -> Inspection:
    """An HDF5 file of magnitude volumes, in groups."""
    parts = {}
    unusable: list[Declined] = []
    for name in _SIDES:
        try:
            held, declined = volumes.read_volumes(path, name)
        except FileError as error:
            return Inspection(path, "", {}, tuple(unusable), problem=error.problem)
        unusable += declined
        parts[name] = _summary(
            [_Volume(None, one.name, len(one.cuts), one.voxels.shape[1:], "HDF5 volume") for one in held]
        )
    return Inspection(path, "images", parts, tuple(unusable))


def _nothing(path: Path, unknown: Sequence[Declined]) -> Inspection:
    expected = (
        "fully sampled fastMRI files, or DICOM, NIfTI, NPY or PNG images were expected, in sub-folders train and val "
        "or in one folder."
    )
    if not unknown:
        return Inspection(path, "", {}, problem=f"the folder is empty; {expected}")
    first = unknown[0]
    if first.path == path:
        return Inspection(path, "", {}, problem=f"{first.reason.rstrip('.')}; {expected}")
    what = f"{_name(first.path, path)} {first.reason.rstrip('.')}"
    more = f", and {len(unknown) - 1} more" if len(unknown) > 1 else ""
    return Inspection(path, "", {}, problem=f"nothing in the folder can train ({what}{more}); {expected}")


def _summary(volumes_found: Sequence[_Volume]) -> Part:
    found = [volume for volume in volumes_found if not volume.is_damaged]
    return Part(
        len(found),
        sum(volume.n_slices for volume in found),
        len({volume.subject for volume in found}),
        _tally(str(volume.n_coils) for volume in found if volume.n_coils),
        _tally(f"{volume.size[0]} × {volume.size[1]}" for volume in found),
        _tally(volume.sequence for volume in found),
    )


def _tally(values: Iterator[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _notes(found: Sequence[_Volume], sides: subjects.Sides, share: float, seed: int) -> list[str]:
    notes = [*sides.notes]
    if sides.shared:
        what = "shows a subject who validates" if len(sides.shared) == 1 else "show subjects who validate"
        notes.append(f"{_count(len(sides.shared), 'training volume')} {what}, and will not train.")
    if sides.is_drawn:
        # Their names tell where a sub-folder was taken for a subject.
        names = sorted({found[index].subject for index in sides.validation})
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        shown = ", ".join(names[:_MOST_NAMED]) + more
        notes.append(f"Split by subject: {share:.0%} validate, drawn with seed {seed}: {shown}.")
    return notes


def _is_raw(path: Path) -> bool:
    """True for raw data also where it is damaged."""
    try:
        return path.is_file() and ((found := sniff(path)) in RAW or is_raw(path, found))
    except FileError:
        return False


def _is_meant_raw(path: Path) -> bool:
    """A download that was broken off is no HDF5 any more, but by its name."""
    return _is_raw(path) or path.suffix.lower() in (".h5", ".hdf5")


def _say_nothing(share: float) -> None:
    pass


def _name(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder)) if path != folder and path.is_relative_to(folder) else path.name


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
