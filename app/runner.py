"""Runs one reconstruction at a time and fills its result while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from app.job import Job

if TYPE_CHECKING:
    from app.results import Result, State
    from recon.stage import Stage


class Runner(QObject):
    """Owns the job.

    Signals
    -------
    stage_added
        A stage came out: its result and slice.
    progressed
        Share that is done, and seconds that are left or None.
    ended
        The result, how it ended (``done``, ``partial``, ``failed``), and the exception with its traceback or None.
    """

    stage_added = Signal(object, int)
    progressed = Signal(float, object)
    ended = Signal(object, str, object, str)

    def __init__(self, engine: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._engine = engine
        self._job: Job | None = None
        self._run: Any = None
        self._scorer: Any = None
        self.result: Result | None = None

    @property
    def is_running(self) -> bool:
        """True while a job lives."""
        return self._job is not None

    @property
    def is_ending(self) -> bool:
        """True between a cancel and the end of its job."""
        return self._job is not None and self._job.is_cancelled

    @property
    def pending(self) -> tuple[int, ...]:
        """Slices that are still to come."""
        if self.result is None:
            return ()
        return tuple(index for index in self.result.request.slices or () if index not in self.result.finished)

    @property
    def place(self) -> str:
        """What runs where, such as ``PC-RNN-S on b_brain, slice 2 of 3``; empty when nothing runs."""
        result = self.result
        if result is None:
            return ""
        return f"{result.model_title} on {result.series.stem}, slice {self._number} of {result.series.n_slices}"

    @property
    def sentence(self) -> str:
        """The same for where nothing else can be shown meanwhile; empty when nothing runs."""
        result = self.result
        if result is None:
            return ""
        return f"{result.model_title} is reconstructing slice {self._number} of {result.series.stem}"

    @property
    def _number(self) -> int:
        """The slice that is computed, counted from 1: the one behind the last that is finished."""
        assert self.result is not None
        slices = self.result.request.slices or (0,)
        done = [place for place, index in enumerate(slices) if index in self.result.finished]
        return 1 + slices[min(done[-1] + 1 if done else 0, len(slices) - 1)]

    def start(self, result: Result) -> None:
        """Compute what a result asks for."""
        series, request = result.series, result.request
        self._run = self._engine.Run(series, request)
        self._scorer = self._engine.Scorer(series, request.slices)
        job = Job(self._run.stream, self._scorer)
        # Bound methods of an object that lives in this thread: Qt then queues the calls instead of making them in the
        # thread of the job.
        job.stage.connect(self._take)
        job.progress.connect(self.progressed)
        job.done.connect(self._finish)
        job.cancelled.connect(self._stop)
        job.failed.connect(self._fail)
        self._job, self.result = job, result
        job.start()

    def cancel(self) -> None:
        """Ask the job to end after the present stage."""
        if self._job is not None:
            self._job.cancel()

    def stop(self) -> None:
        """Cancel and wait for the thread."""
        if self._job is not None:
            self._job.cancel()
            self._job.wait()

    def _take(self, stage: Stage, scores: dict[str, float] | None) -> None:
        if self.result is not None:
            self.result.data_range = self._scorer.data_range
            self.result.add(stage, scores)
            self.stage_added.emit(self.result, stage.slice_index)

    def _finish(self) -> None:
        self._end("done")

    def _stop(self) -> None:
        self._end("partial")

    def _fail(self, error: BaseException, details: str) -> None:
        self._end("failed", error, details)

    def _end(self, state: State, error: BaseException | None = None, details: str = "") -> None:
        job, result = self._job, self.result
        assert job is not None and result is not None
        job.wait()
        result.seconds, result.state = job.seconds, state
        result.adopt(self._run.reconstruction)
        self._job = self._run = self._scorer = self.result = None
        self.ended.emit(result, state, error, details)
