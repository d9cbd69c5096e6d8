"""Images and sensitivity maps of the coils of the slice that is looked at, read while somebody wants them.

Images are read by the thread that reads slices. Maps take longer, and nothing may wait for them: they have a thread of
their own, which stops as soon as they are of no use.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from app.job import Worker
from app.messages import problem_of, sentence
from recon import interruption
from recon.errors import FileError, MRIError

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.views.coils_view import Kind
    from recon.coil_preview import CoilPreview
    from recon.data import Series
    from recon.request import Request

log = logging.getLogger(__name__)

_TASK = "coils"


class CoilImages(QObject):
    """Reads what is wanted of the slice that is looked at, and keeps the last of each kind.

    Parameters
    ----------
    engine
        What reads.
    reader
        Thread that reads slices.
    parent
        Owner.
    """

    left = Signal()
    """What was wanted so far is of another slice, or of another sampling."""
    changed = Signal()
    """There is an answer about what is wanted: `current`, or `problem`."""

    def __init__(self, engine: Any, reader: Worker, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._engine = engine
        self._reader = reader
        self._estimator = Worker(self)
        self._place: tuple[Series, int, Request] | None = None
        self._wanted: Kind | None = None
        # The thread of the maps looks at it, too: what is no longer asked for, it leaves.
        self._asked: Any = None
        self._kept: dict[Kind, tuple[Any, CoilPreview | None, str]] = {}

    def stop(self) -> None:
        """End the thread of the maps; that of the slices is somebody else's."""
        self._asked = None
        self._estimator.stop()

    def look(self, series: Series | None, index: int, request: Request) -> None:
        """Go to a slice, or to another sampling of it; what was asked of the one before is of no use now."""
        self._place = None if series is None else (series, index, request)
        if self._key() != self._asked:
            self._drop()
            self.left.emit()

    def want(self, kind: Kind | None) -> None:
        """Want images or maps from now on, or nothing."""
        if kind != self._wanted:
            self._wanted = kind
            self._drop()

    def forget(self, series: Series) -> None:
        """Drop what is kept of a series."""
        self._kept = {kind: kept for kind, kept in self._kept.items() if kept[0][1] is not series}
        if self._place is not None and self._place[0] is series:
            self._place = None
            self._drop()

    def read(self) -> None:
        """Read what is wanted of the slice that is looked at, if it was not yet; `changed` tells when it is there."""
        key = self._key()
        if self._place is None or key is None or key == self._asked:
            return
        series, index, request = self._place
        self._asked = key
        answer = self._answer()
        if answer is not None:
            self.changed.emit()
            if answer[1] is not None:
                return  # what could not be had is tried again: a disk may be back
        is_map = self._wanted == "maps"
        work = (
            partial(self._engine.coil_maps, series, index, request)
            if is_map
            else partial(self._engine.coil_images, series, index)
        )
        worker = self._estimator if is_map else self._reader
        worker.submit(_TASK, partial(self._make, key, work), partial(self._take, key), partial(self._miss, key))

    @property
    def current(self) -> CoilPreview | None:
        """What is wanted, of the slice that is looked at; None until it is read."""
        answer = self._answer()
        return None if answer is None else answer[1]

    @property
    def problem(self) -> str:
        """Why it cannot be had, in a sentence; empty while it may still come."""
        answer = self._answer()
        return "" if answer is None else answer[2]

    def _answer(self) -> tuple[Any, CoilPreview | None, str] | None:
        kept = None if self._wanted is None else self._kept.get(self._wanted)
        return kept if kept is not None and kept[0] == self._key() else None

    def _key(self) -> Any:
        if self._place is None or self._wanted is None:
            return None
        series, index, request = self._place
        # Images are of all that was measured; maps depend on what the recipe takes of it.
        sampling = (request.mask, request.grid, request.noise) if self._wanted == "maps" else None
        return self._wanted, series, index, sampling

    def _drop(self) -> None:
        self._asked = None
        self._reader.discard(_TASK)
        self._estimator.discard(_TASK)

    def _make(self, key: Any, work: Callable[[], CoilPreview]) -> CoilPreview | None:
        """Work in the thread; None where nobody waits for it any longer."""
        with suppress(interruption.Interrupted), interruption.watching(lambda: self._asked != key):
            return work()
        return None

    def _take(self, key: Any, found: CoilPreview | None) -> None:
        if found is not None:
            self._keep(key, found, "")

    def _miss(self, key: Any, error: BaseException, details: str) -> None:
        log.debug("no coils: %s\n%s", error, details)
        text = problem_of(error) if isinstance(error, FileError) else str(error)
        self._keep(key, None, sentence(text) if isinstance(error, MRIError) else f"Not read: {text}")

    def _keep(self, key: Any, found: CoilPreview | None, problem: str) -> None:
        if key == self._asked:
            self._kept[key[0]] = key, found, problem
            self.changed.emit()
