"""Runs the recipe on slices of the series in view, which goes along with them, and tells the user how it ended."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.results import Result
    from app.session import Session

log = logging.getLogger(__name__)


class Reconstructing(QObject):
    """Reconstructs for a session.

    Parameters
    ----------
    session
        Whose recipe, series and results, and who tells the user.
    engine
        What knows the modules of a method before it runs.
    """

    def __init__(self, session: Session, engine: Any) -> None:
        super().__init__(session)
        self._session = session
        self._engine = engine
        self._is_following = False
        self._at = 0
        self._last_slices: tuple[int, ...] | None = None
        session.slice_changed.connect(self._look)
        session.runner.stage_added.connect(self._take)
        session.runner.ended.connect(self._end)

    def start(self, slices: Sequence[int] | str | None = None) -> bool:
        """Start a reconstruction.

        Parameters
        ----------
        slices
            None: the current slice; ``"volume"``: all; otherwise indices.

        Returns
        -------
        started
            False when something stands in the way; a message says what.
        """
        session = self._session
        if session.problem:
            session.say("warning", session.problem)
            return False
        series = session.series
        assert series is not None
        if slices is None:
            indices: tuple[int, ...] = (session.slice_index,)
        elif isinstance(slices, str):
            indices = tuple(range(series.n_slices))
        else:
            indices = tuple(slices)
        # What was ticked for another model or scan is for those.
        join_coils = session.request.join_coils if session.recipe.is_coil_by_coil else None
        request = replace(session.request, slices=indices, join_coils=join_coils)
        card = session.recipe.card
        modules = () if card is None else self._engine.announced_modules(card)
        result = session.shelf.new(series, request, card, modules)
        # The view goes along with a volume until the user looks at another slice.
        self._is_following, self._at = len(indices) > 1, session.slice_index
        session.runner.start(result)
        session.shelf.add(result, session.settings.n_results)
        session.result_changed.emit()
        session.job_changed.emit()
        session.progress_changed.emit(0.0, None)
        return True

    def repeat_on(self, device: str) -> None:
        """Reconstruct the last slices again on another device."""
        slices = self._last_slices
        if self._session.set_request(device=device):
            self.start(slices)

    def _look(self, index: int) -> None:
        self._is_following = self._is_following and index == self._at

    def _take(self, result: Result, index: int) -> None:
        session = self._session
        result.thin(session.slice_index if result.series is session.series else None)
        if result is not session.result:
            return
        if self._is_following:
            self._at = index
            session.select(index=index)
        session.step_arrived.emit(index)

    def _end(self, result: Result, state: str, error: BaseException | None, details: str) -> None:
        session = self._session
        self._last_slices = result.request.slices
        for remark in result.remarks:
            log.info("%s: %s", result.title, remark)
        if not result.finished:
            # Closing a study forgets its results, also the one that is being made.
            session.shelf.remove(result)
        session.results_changed.emit()
        session.result_changed.emit()
        session.job_changed.emit()
        if error is not None:
            session.report(error, details, "reconstructing")
        elif state == "partial":
            kept, total = len(result.finished), len(result.request.slices or ())
            counted = f" {kept} of {total} slices were finished{' and are kept' if kept else ''}." if total > 1 else ""
            session.say("info", f"Cancelled.{counted}")
        elif result.left_out:
            session.say("warning", " ".join(result.left_out))
        session.job_finished.emit(state)
