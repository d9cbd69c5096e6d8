"""Runs the recipe on slices of the series in view, one run after another, and tells the user how each ended.

A run that was asked for while nothing ran comes into view, which goes along with its slices. One that waited in the
queue comes into view only where that takes nothing away that the user looks at.
"""

from __future__ import annotations

import logging
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from app.messages import explain
from app.queue import Waiting

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from app.results import Result
    from app.session import Session
    from recon.data import Series
    from recon.request import Request

log = logging.getLogger(__name__)


class Reconstructing(QObject):
    """Reconstructs for a session.

    Parameters
    ----------
    session
        Whose recipe, series, queue and results, and who tells the user.
    engine
        What knows the modules of a method before it runs.

    Signals
    -------
    begun
        The user started a run while nothing ran; what is said of earlier ones is out of date.
    """

    begun = Signal()

    def __init__(self, session: Session, engine: Any) -> None:
        super().__init__(session)
        self._session = session
        self._engine = engine
        self._is_following = False
        self._at = 0
        self._running: Waiting | None = None
        # Whether the run is one of several, so that what is said of it has to name it.
        self._is_of_several = False
        self._n_cancelled = 0
        # What a button offers to repeat on another device, by the number of its result.
        self._failed: dict[str, Waiting] = {}
        session.slice_changed.connect(self._look)
        session.runner.stage_added.connect(self._take)
        session.runner.ended.connect(self._end)

    def start(self, slices: Sequence[int] | str | None = None) -> bool:
        """Start a reconstruction, or let it wait for those that were asked for before.

        Parameters
        ----------
        slices
            None: the current slice; ``"volume"``: all; otherwise indices.

        Returns
        -------
        accepted
            False when something stands in the way, or it runs or waits already; a message says what.
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
        if not session.is_running:
            self._failed.clear()
            self.begun.emit()
        return self._accept(Waiting(series, request, session.recipe.card))

    def ask(self, series: Series, request: Request) -> str:
        """Reconstruct by a recipe other than that of the window, also a series that is not in view, after what waits.

        Returns
        -------
        What stands in the way; empty when it runs or waits.
        """
        card = self._session.recipe.find(request.model)
        problem: str = "" if card is None else self._engine.model_problem(card, series, request)
        if not problem:
            item = Waiting(series, request, card)
            if not self._session.is_running:
                self._failed.clear()
                self.begun.emit()
            self._accept(item, is_shown=self._may_come_into_view(item))
        return problem

    def repeat_on(self, device: str, number: str = "") -> None:
        """Reconstruct again on another device what failed: the result of this number, or the last one."""
        item = self._failed.pop(number or next(reversed(self._failed), ""), None)
        if item is None:
            self._session.say("info", "There is nothing to repeat: it was repeated already, or its study was closed.")
        elif self._session.set_request(device=device):
            item = replace(item, request=replace(item.request, device=device))
            self._accept(item, is_shown=self._may_come_into_view(item))

    def cancel_all(self) -> None:
        """Let nothing wait any more, and stop what runs."""
        self._n_cancelled = self._session.queue.clear()
        if self._session.is_running:
            self._session.runner.cancel()

    def forget(self, series: Iterable[Series], reason: str) -> None:
        """Drop what waits or failed of series that are no longer open, and stop what runs of them."""
        session, gone = self._session, tuple(series)
        self._failed = {number: item for number, item in self._failed.items() if item.series not in gone}
        dropped = session.queue.forget(gone)
        if dropped:
            what = f"{dropped[0].name}, no longer waits"
            if len(dropped) > 1:
                what = f"{len(dropped)} reconstructions of {dropped[0].series.stem} no longer wait"
            # News would be pushed aside by that of the run that is cancelled with them.
            session.say("warning", f"{what}: the study was {reason}.")
        if self._running is not None and self._running.series in gone:
            session.cancel()

    def _accept(self, item: Waiting, *, is_shown: bool = True) -> bool:
        session = self._session
        if session.is_running:
            # Who cancels a run and asks for it again means it.
            if item == self._running and not session.runner.is_ending:
                session.say("info", f"{item.name}, runs already.")
            elif session.queue.add(item):
                return True
            else:
                session.say("info", f"{item.name}, waits already.")
            return False
        self._begin(item, is_shown=is_shown)
        # The view goes along with a volume until the user looks at another slice.
        self._is_following, self._at = is_shown and len(item.request.slices or ()) > 1, session.slice_index
        self._is_of_several = False
        session.result_changed.emit()
        session.job_changed.emit()
        session.progress_changed.emit(0.0, None)
        return True

    def _begin(self, item: Waiting, *, is_shown: bool) -> None:
        """Run one; who called it tells that it runs."""
        session, card = self._session, item.card
        modules = () if card is None else self._engine.announced_modules(card)
        result = session.shelf.new(item.series, item.request, card, modules)
        session.runner.start(result)
        self._running = item
        session.shelf.add(result, session.settings.n_results, is_shown=is_shown)

    def _go_on(self) -> None:
        """Run the next one that waits, and on from one that cannot even start."""
        session = self._session
        while not session.is_running and (item := session.queue.take()) is not None:
            try:
                self._begin(item, is_shown=self._may_come_into_view(item))
            except Exception as error:  # noqa: BLE001  what waits behind it must not wait for ever
                self._report(item, error, traceback.format_exc(), "")
            else:
                self._is_following, self._is_of_several = False, True

    def _may_come_into_view(self, item: Waiting) -> bool:
        """Whether the slice in view is to be computed, and nobody looks at an older result or stage of it."""
        session = self._session
        index, shown = session.slice_index, session.result
        if item.series is not session.series:
            return False
        if shown is None:
            return True
        if index not in (item.request.slices or (index,)):
            return False
        if session.position is not None or session.flicker.is_on:
            return False
        newer = (result for result in session.shelf.of(item.series) if shown and result.number > shown.number)
        return not any(index in result.slices for result in newer)

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
        session, item = self._session, self._running
        assert item is not None
        self._running = None
        is_of_several = self._is_of_several or bool(session.queue.waiting)
        for remark in result.remarks:
            log.info("%s: %s", result.title, remark)
        if not result.finished:
            # Closing a study forgets its results, also the one that is being made.
            session.shelf.remove(result)
        n_cancelled, self._n_cancelled = self._n_cancelled, 0
        with_others = f", with {n_cancelled} that waited" if n_cancelled else ""
        if error is not None:
            self._report(item, error, details, str(result.number), is_named=is_of_several)
        elif state == "partial":
            kept, total = len(result.finished), len(result.request.slices or ())
            counted = f" {kept} of {total} slices were finished{' and are kept' if kept else ''}." if total > 1 else ""
            session.say("info", f"Cancelled{with_others}.{counted}")
        elif result.left_out:
            session.say("warning", f"{f'{item.name}: ' if is_of_several else ''}{' '.join(result.left_out)}")
        elif with_others:
            session.say("info", f"Done; {n_cancelled} that waited {'is' if n_cancelled == 1 else 'are'} cancelled.")
        # Before anybody is told: to whoever listens, the window is busy from the first run to the last.
        self._go_on()
        session.results_changed.emit()
        session.result_changed.emit()
        session.job_changed.emit()
        if session.is_running:
            session.progress_changed.emit(0.0, None)
        session.job_finished.emit(state)

    def _report(self, item: Waiting, error: BaseException, details: str, number: str, *, is_named: bool = True) -> None:
        message = explain(error, details, "reconstructing", item.request.device)
        if message.action:
            self._failed[number] = item
        name = f"{item.name}: " if is_named else ""
        self._session.say(message.level, f"{name}{message.text}", message.details, message.action, number)
