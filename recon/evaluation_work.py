"""The work of an evaluation: tasks become rows of a journal, and rows become tables. It can stop and go on anywhere."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recon import __version__, scoring
from recon.batch import Collection, collect, explain, on_device
from recon.data import check_scale
from recon.errors import MRIError, RequestError
from recon.evaluation import Evaluation, Task, count_slices, indices_of, is_of_study, plan
from recon.evaluation_problems import group_problems, group_warnings
from recon.journal import Journal
from recon.lock import locked
from recon.result import is_usable
from recon.scoring import Support

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from recon.batch import Show
    from recon.stage import Stage

logger = logging.getLogger(__name__)

_JOURNAL = "parts"
_JOB = "evaluation.json"
_LOCK = "evaluation.lock"
_TABLE = "scores.csv"
# What may differ between two evaluations of the same scores.
_FREE = ("device", "pair_by")


class EvaluationWork:
    """Evaluate volumes into a folder; see `recon.batch.Work`.

    Parameters
    ----------
    evaluation
        What is compared.
    paths
        Files and folders.
    out
        Folder of the tables and of the journal.
    """

    def __init__(self, evaluation: Evaluation, paths: tuple[Path, ...], out: Path) -> None:
        self.evaluation = evaluation
        self.paths = paths
        self.out = out
        self.collection: Collection = collect(paths)
        self.journal = Journal(out / _JOURNAL)
        self.tasks = plan(evaluation, self.collection)
        self._items: list[list[Task]] = [
            [task for task in self.tasks if task.volume is volume and not task.problem]
            for volume in self.collection.volumes
        ]
        self._rows = self.journal.read()
        self._device: str | None = None
        self._known = {task.key for task in self.tasks if self._is_done(task)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EvaluationWork:
        """Build the work that `to_dict` describes."""
        paths = tuple(Path(path) for path in values["paths"])
        return cls(Evaluation.from_dict(values["evaluation"]), paths, Path(values["out"]))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold: the job."""
        return {
            "kind": "evaluate",
            "program": __version__,
            "paths": [str(path) for path in self.paths],
            "out": str(self.out),
            "evaluation": self.evaluation.to_dict(),
        }

    def save(self) -> Path:
        """Write the job beside its results."""
        from recon.export.atomic import atomic_file

        path = self.out / _JOB
        with atomic_file(path) as temporary:
            temporary.write_text(json.dumps(self.to_dict(), indent=2), "utf-8")
        return path

    @property
    def has_tables(self) -> bool:
        """Whether the folder holds tables; the job beside them is that which made them, until new ones are written."""
        return (self.out / _TABLE).exists()

    def check_earlier(self) -> None:
        """Leave the tables of another evaluation alone; one that asks for all that they hold, and more, replaces them.

        Raises
        ------
        RequestError
            If the folder holds the scores of an evaluation that this one lacks a part of; what differs is listed.
        """
        if not self.has_tables:
            return
        try:
            earlier = json.loads((self.out / _JOB).read_text("utf-8"))
            before = Evaluation.from_dict(earlier["evaluation"]).to_dict() | {"paths": earlier["paths"]}
        except (OSError, ValueError, KeyError, TypeError, MRIError):  # of another program, or version
            return
        after = self.evaluation.to_dict() | {"paths": self.to_dict()["paths"]}
        lines = [
            f"{key}: {json.dumps(value)} -> {json.dumps(after[key])}"
            for key, value in before.items()
            if key not in _FREE and (set(value) - set(after[key]) if isinstance(value, list) else value != after[key])
        ]
        if lines:
            raise RequestError(
                f"{self.out} holds the scores of another evaluation, which would be lost: {'; '.join(lines)}. "
                "Choose another --out, or ask for all that was asked for there, and for more where you like."
            )

    def alone(self) -> AbstractContextManager[None]:
        """Hold the folder, and raise RequestError where another process writes into it; see `recon.lock.locked`."""
        return locked(self.out / _LOCK, "evaluate")

    @property
    def costs(self) -> list[float]:
        """Slices that are still to be reconstructed, of each volume."""
        return [
            float(sum(count_slices(task, self.evaluation) for task in tasks if not self._is_done(task)))
            for tasks in self._items
        ]

    @property
    def n_reused(self) -> int:
        """Tasks whose rows an earlier run left."""
        return sum(self._is_done(task) for task in self.tasks)

    def prepare(self) -> str:
        """Give what cannot be scored its rows, and report it: files, models without weights."""
        hopeless = [task for task in self.tasks if task.problem and not self._is_done(task)]
        for task in hopeless:
            self._record(_unscored(task, task.problem, task.exit_status))
        self._say([self._rows[task.key] for task in hopeless if not is_of_study(task.request, self.evaluation)])
        joined = (task for task in self.tasks if task.request is not None and task.request.join_coils is not None)
        if self.evaluation.join_coils is not None and all(task.problem for task in joined):
            logger.warning("none of the methods takes the coils of any scan one by one, so nothing is joined.")
        return ""  # it has the folder for itself

    def begin(self, part: int, device: str | None, run: str = "") -> None:  # noqa: ARG002  that of all runs there
        """See `recon.batch.Work`."""
        self._device = device
        self.journal.part = part

    def process(self, item: int, show: Show) -> None:
        """See `recon.batch.Work`; a task that fails leaves a row with its reason."""
        tasks = [task for task in self._items[item] if not self._is_done(task)]
        total = sum(count_slices(task, self.evaluation) for task in tasks) or 1
        support = Support(self.collection.volumes[item].series)
        done = 0
        for task in tasks:
            n_slices = count_slices(task, self.evaluation)
            label = f"{task.names['volume']} · {task.names['method']} · {task.names['mask']}"

            def report(stage: Stage, done: int = done, n_slices: int = n_slices, label: str = label) -> None:
                show(label, (done + stage.progress * n_slices) / total)

            show(label, done / total)
            try:
                row = _evaluate(task, self.evaluation, support, self._device, report)
            except Exception as error:  # one bad volume must not stop a night's batch
                reason, exit_status = explain(error)
                row = _unscored(task, _without_title(reason), exit_status)
                logger.debug("%s", label, exc_info=True)
            self._record(row)
            done += n_slices

    def finish(self) -> int:
        """Write the tables from the rows of all processes; see `recon.batch.Work`."""
        from recon.export.evaluation import write

        rows = self.rows()
        # Once all are done: what a hundred small scans have in common is said once, and not by each process.
        new = {task.key for task in self.tasks if not task.problem} - self._known
        self._say([row for row in rows if row["key"] in new])
        for caution in group_warnings(rows):  # also of rows from before: their scores are in the tables
            logger.info("%s", caution.sentence)
        write(self.out, self.evaluation, rows)
        self.save()
        status = max([0, *(int(row.get("exit_status", 0)) for row in rows)])
        # What is skipped is nobody's fault, but somebody has to hear of it where it is all that there is.
        return status if status or any(row["status"] == "done" for row in rows) else 2

    def outcome(self) -> list[dict[str, Any]]:
        """Return the rows."""
        return self.rows()

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows that are done, in the order of the plan, whichever process made them."""
        found = self.journal.read()
        # What a row is called may have changed since it was made, such as the number of a second file of one name.
        return [found[task.key] | dict(task.names) for task in self.tasks if task.key in found]

    def _say(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Report why rows have no scores: each reason once, however many volumes and methods it concerns."""
        for problem in group_problems(rows):
            if problem.status == "failed":
                logger.error("error: %s", problem.sentence)
            else:
                logger.warning("%s", problem.sentence)

    def _record(self, row: dict[str, Any]) -> None:
        self.journal.append(row)
        self._rows[row["key"]] = row

    def _is_done(self, task: Task) -> bool:
        # What failed may succeed now: memory is free again, weights were installed.
        return self._rows.get(task.key, {}).get("status") in ("done", "skipped")


def _without_title(reason: str) -> str:
    """Take the method's name off a reason that others have too; the row has it, and its sentence names them all."""
    from recon.models import list_models

    title, colon, rest = reason.partition(": ")
    return rest if colon and title in {card.title for card in list_models()} else reason


def _unscored(task: Task, reason: str, status: int = 0) -> dict[str, Any]:
    about = {"status": "failed", "exit_status": status} if status else {"status": "skipped"}
    return {"key": task.key, **about, "reason": reason, **task.names}


def _evaluate(task: Task, evaluation: Evaluation, support: Support, device: str | None, report: Any) -> dict[str, Any]:
    from recon import pipeline
    from recon.device import resolve
    from recon.models.size import size_note
    from recon.peak_memory import PeakMemory

    assert task.volume is not None
    series = task.volume.series
    indices = indices_of(series, evaluation)
    if task.request is None:
        return _score_compression(task, evaluation, support, indices)
    request = on_device(replace(task.request, slices=indices), device)
    ready = pipeline.Plan(series, request)
    with PeakMemory(str(resolve(request.device))) as memory:
        try:
            result = ready.run(callback=report, keep="none")
        except MRIError:
            check_scale(series, indices)  # numbers near the smallest that there are go wrong in many ways
            raise
    if not result.zero_filled.any() or result.reference is None or not is_usable(result.reference):
        check_scale(series, indices)
    if result.reference is None or not is_usable(result.reference):
        return _unscored(task, f"the reference of {series.name} is nowhere above zero, so nothing can be scored.")
    return {
        "key": task.key,
        "status": "done",
        **task.names,
        **scoring.score(result.reference, result.final, evaluation, support, indices),
        "slices": list(result.indices),
        "grid": result.grid,
        "effective_acceleration": result.mask.acceleration,
        "n_virtual_coils": result.n_virtual_coils,
        "parameters": dict(result.parameters),
        "parameter_origins": dict(result.parameter_origins),
        "weights_sha256": result.weights_sha256,
        "warnings": list(result.warnings),
        "seconds": result.seconds,
        "peak_memory_gb": memory.gigabytes,
        "device": result.device,
        "precision": result.precision,
        "n_parameters": ready.model.n_parameters,
        "size_note": size_note(ready.card, ready.weights),
    }


def _score_compression(
    task: Task, evaluation: Evaluation, support: Support, indices: tuple[int, ...]
) -> dict[str, Any]:
    """Compare the fully sampled image of virtual coils with that of all coils, without any undersampling."""
    import torch

    from recon import coils, fourier
    from recon.sampling import on_grid

    assert task.volume is not None and task.n_virtual is not None
    series = task.volume.series
    pairs = []
    with torch.inference_mode():
        for index in indices:
            kspace = on_grid(series.read(index).kspace, series, native=evaluation.grid == "native")
            compressed, _ = coils.compress(kspace, task.n_virtual)
            images = [coils.root_sum_of_squares(fourier.ifft2c(one), dim=-3) for one in (kspace, compressed)]
            pairs.append([fourier.centre_crop(image, series.recon_size).numpy() for image in images])
    reference, image = (np.stack(volume) for volume in zip(*pairs, strict=True))
    return {
        "key": task.key,
        "status": "done",
        **task.names,
        **scoring.score(reference, image, evaluation, support, indices),
        "slices": list(indices),
        "grid": evaluation.grid,
        "n_virtual_coils": task.n_virtual,
    }
