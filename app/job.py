"""Work off the GUI thread: a Job runs one reconstruction, a Worker runs the small things, newest first.

Neither touches a widget. Results travel by signal as numpy arrays and plain values.
"""

from __future__ import annotations

import statistics
import threading
import time
import traceback
from collections import OrderedDict
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QThread, Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from recon.stage import Stage

N_BEFORE_ETA = 3


class Clock:
    """Estimates the time that is left, from the median pace: one slow first stage does not spoil it."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._last = (now(), 0.0)
        self._paces: list[float] = []

    def tick(self, progress: float) -> float | None:
        """Note that a share of the work is done.

        Returns
        -------
        remaining_s
            Seconds that are left, or None while too little is known.
        """
        moment = self._now()
        seconds, share = moment - self._last[0], progress - self._last[1]
        if share > 0:
            self._paces.append(seconds / share)
            self._last = (moment, progress)
        if len(self._paces) < N_BEFORE_ETA:
            return None
        return statistics.median(self._paces) * max(0.0, 1.0 - progress)


class Job(QThread):
    """Iterates a stream of stages in a thread of its own; answers a cancel within one stage.

    Parameters
    ----------
    make_stream
        Called in the thread; returns the generator of stages. Closing it cancels.
    inspect
        Called in the thread with each stage; what it returns (metrics) is handed on with the stage.
    """

    stage = Signal(object, object)
    progress = Signal(float, object)
    done = Signal()
    failed = Signal(object, str)
    cancelled = Signal()

    def __init__(
        self,
        make_stream: Callable[[], Iterator[Stage]],
        inspect: Callable[[Stage], Any] | None = None,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._make_stream = make_stream
        self._inspect = inspect
        self.seconds = 0.0
        # QThread.requestInterruption is ignored until the thread runs; an event never is.
        self._cancel = threading.Event()

    @property
    def is_cancelled(self) -> bool:
        """True as soon as the end was asked for."""
        return self._cancel.is_set()

    def cancel(self) -> None:
        """Ask for the end; returns at once."""
        self._cancel.set()

    def run(self) -> None:
        """Body of the thread."""
        start = time.perf_counter()
        try:
            finished = self._consume()
        except Exception as error:  # noqa: BLE001  the thread is a boundary: whatever fails is reported, the window lives
            self.failed.emit(error, traceback.format_exc())
            return
        finally:
            self.seconds = time.perf_counter() - start
        if finished:
            self.done.emit()
        else:
            self.cancelled.emit()

    def _consume(self) -> bool:
        """Iterate the stream; False when it was cancelled."""
        if self._cancel.is_set():
            return False
        import torch

        from recon import interruption

        clock = Clock()
        # A generator would leak inference mode to its consumer, so the consumer sets it around the whole loop.
        with (
            torch.inference_mode(),
            interruption.watching(self._cancel.is_set),
            suppress(interruption.Interrupted),
            closing(self._make_stream()) as stream,  # type: ignore[type-var]
        ):
            for stage in stream:
                # The stream counts a slice as finished that came out meanwhile; so must whoever listens.
                if self._cancel.is_set() and not stage.is_final:
                    return False
                self.stage.emit(stage, self._inspect(stage) if self._inspect else None)
                self.progress.emit(stage.progress, clock.tick(stage.progress))
                if self._cancel.is_set():
                    return False
        return not self._cancel.is_set()


@dataclass(frozen=True, eq=False)
class _Task:
    work: Callable[[], Any]
    done: Callable[[Any], None]
    failed: Callable[[BaseException, str], None]


class _Thread(QThread):
    """Takes tasks from its queue until it is told to stop."""

    delivered = Signal(object, object)
    dropped = Signal(object, object, str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.tasks: OrderedDict[str, _Task] = OrderedDict()
        self.condition = threading.Condition()
        self.is_stopping = False
        self.is_busy = False

    def run(self) -> None:
        while True:
            with self.condition:
                self.is_busy = False
                while not self.tasks and not self.is_stopping:
                    self.condition.wait()
                if self.is_stopping:
                    return
                _, task = self.tasks.popitem(last=False)
                self.is_busy = True
            try:
                result = task.work()
            except Exception as error:  # noqa: BLE001  boundary of the thread, see Job.run
                self.dropped.emit(task, error, traceback.format_exc())
            else:
                self.delivered.emit(task, result)


class Worker(QObject):
    """One thread for small work. Of several waiting tasks with one key only the newest runs.

    The callbacks run in the thread that the worker lives in, so they may touch widgets.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._thread = _Thread(self)
        self._thread.delivered.connect(self._deliver)
        self._thread.dropped.connect(self._drop)

    def submit(
        self,
        key: str,
        work: Callable[[], Any],
        done: Callable[[Any], None],
        failed: Callable[[BaseException, str], None],
        *,
        urgent: bool = False,
    ) -> None:
        """Queue work; a waiting task with the same key is replaced.

        Parameters
        ----------
        key
            What kind of work it is.
        work
            Runs in the thread.
        done
            Gets the result.
        failed
            Gets the exception and its traceback.
        urgent
            Put it in front of what waits.
        """
        thread = self._thread
        with thread.condition:
            if thread.is_stopping:
                return
            thread.tasks.pop(key, None)
            thread.tasks[key] = _Task(work, done, failed)
            if urgent:
                thread.tasks.move_to_end(key, last=False)
            thread.condition.notify()
        if not thread.isRunning():
            thread.start()

    def discard(self, prefix: str) -> None:
        """Forget waiting tasks whose key starts with a prefix."""
        with self._thread.condition:
            for key in [key for key in self._thread.tasks if key.startswith(prefix)]:
                del self._thread.tasks[key]

    @property
    def is_idle(self) -> bool:
        """True when nothing runs or waits."""
        with self._thread.condition:
            return not self._thread.tasks and not self._thread.is_busy

    def stop(self) -> None:
        """Finish the task that runs, drop the others, end the thread."""
        with self._thread.condition:
            self._thread.is_stopping = True
            self._thread.tasks.clear()
            self._thread.condition.notify()
        self._thread.wait()

    def _deliver(self, task: _Task, result: Any) -> None:
        if not self._thread.is_stopping:
            task.done(result)

    def _drop(self, task: _Task, error: BaseException, details: str) -> None:
        if not self._thread.is_stopping:
            task.failed(error, details)
