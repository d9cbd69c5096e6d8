"""Many volumes: from paths to series with names of their own, and the work that one process or many share out.

A `Work` is a list of items, one a volume, and what to do with each. One process does them in order; many take shares
(`training.predict`). An item is written by one process alone.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from recon.errors import LEFT_OUT, FileError, MissingPackageError, MRIError, RequestError
from recon.evaluation_problems import named
from recon.export.privacy import said_of_the_patient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from recon.collector import Keep
    from recon.data import Declined, Series
    from recon.journal import MemoryJournal, RunJournal
    from recon.request import Request
    from recon.stage import Stage

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Volume:
    """A series, and the name of its files and rows."""

    series: Series
    stem: str


@dataclass(frozen=True, eq=False)
class Collection:
    """What paths hold.

    Attributes
    ----------
    volumes
        Series in the order of the paths.
    errors
        Paths that gave nothing, and why.
    declined
        Files beside good ones that could not be opened.
    places
        Where each of these paths is, for a reader, see `places`.
    """

    volumes: tuple[Volume, ...]
    errors: tuple[tuple[Path, MRIError], ...] = ()
    declined: tuple[Declined, ...] = ()
    places: Mapping[Path, str] = field(default_factory=dict)


class Work(Protocol):
    """What processes share out."""

    @property
    def costs(self) -> list[float]:
        """How long each item takes, in any unit; 0 where nothing is left to do."""
        ...

    def prepare(self) -> str:
        """Clear the way; called once, by the first process, before any begins. Returns the name of the run."""
        ...

    def begin(self, part: int, device: str | None, run: str = "") -> None:
        """Prepare this process: the number of its part, the device that it was given, what `prepare` returned."""
        ...

    def process(self, item: int, show: Show) -> None:
        """Do one item; what fails is recorded, not raised."""
        ...

    def finish(self) -> int:
        """Merge the parts of all processes and return the exit status; called once, by the first process."""
        ...

    def outcome(self) -> Any:
        """Return what the command prints as JSON; called after `finish`."""
        ...


if TYPE_CHECKING:
    # Called with what is being done, and the share of the present item that is done.
    Show = Callable[[str, float], None]


def collect(paths: Iterable[Path | str]) -> Collection:
    """Open every path and give each series a name of its own."""
    import recon

    found: list[Series] = []
    errors: list[tuple[Path, MRIError]] = []
    declined: list[Declined] = []
    given: dict[Path, Path] = {}
    for path in map(Path, paths):
        given.setdefault(path, path)
        try:
            study = recon.open_study(path)
        except MRIError as error:
            errors.append((path, error))
            continue
        found += study.series
        for inside in (*(series.path for series in study.series), *(item.path for item in study.declined)):
            given.setdefault(inside, path)
        if study.series:
            declined += study.declined
        else:
            reason = study.declined[0].reason if study.declined else "it holds nothing that can be reconstructed"
            errors.append((path, FileError(path, reason)))
    names = distinct([series.stem for series in found])
    volumes = tuple(Volume(series, stem) for series, stem in zip(found, names, strict=True))
    return Collection(volumes, tuple(errors), tuple(declined), places(given))


def places(given: Mapping[Path, Path]) -> dict[Path, str]:
    """Return where each path is, from the folder that was given on: no more than tells it from the others.

    Parameters
    ----------
    given
        Path to the file or folder, itself or around it, that was given.
    """
    lengths = {path: max(1, len(path.parts) - len(start.parts)) for path, start in given.items()}
    while True:
        found = {path: Path(*path.parts[-length:]).as_posix() for path, length in lengths.items()}
        sharing = defaultdict(list)
        for path, place in found.items():
            sharing[place].append(path)
        if len(sharing) == len(found):
            return found
        for path in (one for paths in sharing.values() if len(paths) > 1 for one in paths):
            lengths[path] += 1


def distinct(names: Sequence[str]) -> list[str]:
    """Number the names that occur more than once, so that no volume overwrites another: ``a``, ``a-2``, ``a-3``.

    Names that differ only in case count as one: the file systems of two of three operating systems think so.
    """
    taken = {name.casefold() for name in names}
    seen: set[str] = set()
    result = []
    for name in names:
        candidate, number = name, 2
        if name.casefold() in seen:
            while (candidate := f"{name}-{number}").casefold() in taken:
                number += 1
            taken.add(candidate.casefold())
        seen.add(candidate.casefold())
        result.append(candidate)
    return result


class SliceList:
    """Slices as the user wrote them, such as ``0:10`` or ``3,5,8:12``; negative ones count from the end.

    Raises
    ------
    RequestError
        If the text is no such list.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._parts: list[int | slice] = []
        for word in text.split(","):
            try:
                numbers = [int(number) if number.strip() else None for number in word.split(":")]
            except ValueError:
                numbers = []
            if len(numbers) == 1 and numbers[0] is not None:
                self._parts.append(numbers[0])
            elif len(numbers) in (2, 3) and 0 not in numbers[2:]:
                self._parts.append(slice(*numbers))
            else:
                raise RequestError(f"{text!r} is no list of slices; write 0:10, 7, or 3,5,8:12")

    def resolve(self, series: Series) -> tuple[int, ...]:
        """Return the indices for a series, each once; a range may reach beyond its end, a single slice may not.

        Raises
        ------
        RequestError
            If a slice does not exist, or none is left.
        """
        indices: dict[int, None] = {}
        for part in self._parts:
            if isinstance(part, slice):
                indices.update(dict.fromkeys(range(series.n_slices)[part]))
            else:
                indices[series.check_index(part)] = None
        if not indices:
            raise RequestError(f"{series.name} has slices 0 to {series.n_slices - 1}; --slices {self.text} names none.")
        return tuple(indices)


def explain(error: Exception) -> tuple[str, int]:
    """Return the sentence for an error of one volume, and its exit status."""
    if isinstance(error, MRIError):
        return str(error), error.exit_status
    if isinstance(error, MemoryError):
        return "the memory of this machine ran out; reconstruct fewer slices or use a smaller model.", 1
    if isinstance(error, ModuleNotFoundError):
        return str(MissingPackageError((error.name or str(error)).split(".")[0])), 1
    return f"unexpected {type(error).__name__}: {error}", 1


def report(error: Exception, where: Path, part: str = "") -> tuple[str, int]:
    """Log why one file of many, or a scan in it, failed, so that the others can go on; returns what `explain` does."""
    reason, status = explain(error)
    place = " · ".join(filter(None, (str(where), part)))
    logger.debug("%s", place, exc_info=error)
    logger.error("error: %s", reason.replace(str(where), place, 1) if str(where) in reason else f"{place}: {reason}")
    return reason, status


def on_device(request: Request, device: str | None) -> Request:
    """Return a request for the device that a process was given; one that means this device already stays as it is."""
    from recon.device import resolve

    if device is None or str(resolve(request.device)) == device:
        return request
    return replace(request, device=device)


def reconstruct_volume(
    volume: Volume,
    request: Request,
    out: Path,
    formats: Sequence[str],
    *,
    model: str = "",
    stages: bool = False,
    slices: str | None = None,
    callback: Callable[[Stage], Any] | None = None,
) -> tuple[dict[str, Any] | None, list[Exception]]:
    """Reconstruct a volume with one model and write its files, called by ``model`` where the request's is not enough.

    Returns
    -------
    The record, None where no file could be written; and what did not stop the rest: why slices were left out, whose
    data cannot be used, and why formats could not be written.

    Raises
    ------
    MRIError
        If the request, the data, the device or the disk does not allow it.
    """
    from recon.pipeline import Plan
    from recon.replacement import Former

    if slices is not None:
        request = replace(request, slices=SliceList(slices).resolve(volume.series))
    plan = Plan(volume.series, request)
    # A movie is of iterations, and has those that the window would show.
    keep: Keep = "all" if stages else "thinned" if "movie" in formats else "modules"
    result = plan.run(callback, keep, spares_others=True)
    name = f"{volume.stem}.{model}" if model else volume.stem + result.name.removeprefix(volume.series.stem)
    problems: list[Exception] = [*plan.left_out.values()]
    former = Former.find(out / f"{name}.json", result.record())
    files = result.save(out, formats=formats, stages=stages, name=name, problems=problems)
    if files and former is not None:
        logger.warning("%s", former.give_way(files))
    return json.loads(files[-1].read_text("utf-8")) if files else None, problems


class ReconstructionWork:
    """Reconstruct volumes to files, as ``mri-workstation reconstruct`` does.

    Parameters
    ----------
    job
        ``paths``, ``requests``, ``formats``, ``stages``, ``slices``, ``out``.
    journal
        Where the processes put their rows; one of this run's own beside the results when None.
    """

    def __init__(self, job: Mapping[str, Any], journal: RunJournal | MemoryJournal | None = None) -> None:
        from recon.journal import RunJournal
        from recon.request import Request

        self.out = Path(job["out"])
        self.formats: list[str] = list(job["formats"])
        self.stages = bool(job["stages"])
        self.slices: str | None = job["slices"]
        self.requests = [Request.from_dict(values) for values in job["requests"]]
        # Weights of two runs are often called the same.
        self.models = distinct([request.model_name for request in self.requests])
        self.collection = collect(job["paths"])
        self.journal = journal or RunJournal(self.out)
        self._device: str | None = None
        self._outcome: list[dict[str, Any]] = []

    @property
    def costs(self) -> list[float]:
        """Slices of each volume that are reconstructed."""
        return [float(self._count_slices(volume.series)) for volume in self.collection.volumes]

    def _count_slices(self, series: Series) -> int:
        try:
            return series.n_slices if self.slices is None else len(SliceList(self.slices).resolve(series))
        except RequestError:
            return 1  # a volume that lacks them fails at once

    def prepare(self) -> str:
        """See `Work`; reports what could not be opened."""
        for path, error in self.collection.errors:
            report(error, path)
        for declined in self.collection.declined:
            logger.warning("%s: declined: %s", declined.path, declined.reason)
        if any(volume.series.kind == "dicom" for volume in self.collection.volumes):
            for name in sorted({"dicom", "dicom-anonymous"}.intersection(self.formats)):
                logger.warning("%s: %s", name, said_of_the_patient("dicom", [name]))
        # Where nothing can be done nothing is left, not even a folder.
        return self.journal.open() if self.collection.volumes else ""

    def begin(self, part: int, device: str | None, run: str = "") -> None:
        """See `Work`."""
        self._device = device
        self.journal.join(run, part)

    def process(self, item: int, show: Show) -> None:
        """See `Work`."""
        volume = self.collection.volumes[item]
        for position, request in enumerate(self.requests):
            model = self.models[position]
            label = f"{volume.stem} · {model}"

            def show_stage(stage: Stage, position: int = position, label: str = label) -> None:
                share = (position + stage.progress) / len(self.requests)
                show(f"{label} · slice {stage.slice_index} · {stage.title}", share)

            show(label, position / len(self.requests))
            asked = on_device(request, self._device)
            record = None
            try:
                record, problems = reconstruct_volume(
                    volume, asked, self.out, self.formats, model=model, stages=self.stages, slices=self.slices,
                    callback=show_stage,
                )  # fmt: skip
            except Exception as error:  # noqa: BLE001  one bad volume must not stop a night's batch
                problems = [error]
            said = [report(error, volume.series.path, volume.series.part) for error in problems]
            row = {"key": f"{item}/{position}", "status": "failed" if record is None else "done", "record": record}
            self.journal.append(row | {"exit_status": max([0, *(status for _, status in said)])})

    def finish(self) -> int:
        """See `Work`; the records stand in `outcome`."""
        rows = self.journal.read()
        done = [
            (volume.series.path, row["record"])
            for item, volume in enumerate(self.collection.volumes)
            for position in range(len(self.requests))
            if (row := rows.get(f"{item}/{position}", {})).get("record") is not None
        ]
        self._outcome = [record for _, record in done]
        # Once all are done: what the models and files have in common is said once, and not by each process.
        self._say_warnings(done)
        self.journal.remove()
        statuses = [int(row["exit_status"]) for row in rows.values()]
        return max([0, *statuses, *(error.exit_status for _, error in self.collection.errors)])

    def _say_warnings(self, done: Iterable[tuple[Path, Mapping[str, Any]]]) -> None:
        """Log the warnings of records, each once: with its file, or with those that have it in common."""
        found: dict[str, dict[Path, None]] = {}
        for path, record in done:
            for warning in record["warnings"]:
                if LEFT_OUT not in warning:  # that is said already, as the error that it is
                    found.setdefault(warning, {})[path] = None
        for warning, paths in found.items():
            if len(paths) == 1:
                logger.info("%s: %s", *paths, warning)
            else:
                places = [self.collection.places[path] for path in paths]
                logger.info("%s (%s).", warning.rstrip("."), named(places, "files"))

    def outcome(self) -> list[dict[str, Any]]:
        """Return the records, in the order in which one process makes them."""
        return self._outcome


def open_work(job: Path) -> Work:
    """Return the work that a job file describes.

    Raises
    ------
    FileError
        If it is no job file.
    """
    try:
        values = json.loads(job.read_text("utf-8"))
        kind = values["kind"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileError(job, f"is no job of this program ({error}); make one with `evaluate --plan`.") from None
    if kind == "reconstruct":
        return ReconstructionWork(values)
    if kind == "evaluate":
        from recon.evaluation_work import EvaluationWork

        return EvaluationWork.from_dict(values)
    raise FileError(job, f"holds a job of the kind {kind!r}; evaluate or reconstruct was expected.")
