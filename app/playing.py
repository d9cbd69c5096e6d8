"""What goes on by itself: a step again and again, until somebody else takes one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QTimer, Signal

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtCore import SignalInstance

    from app.session import Session

FLICKERS_PER_SECOND = 2


class Playing(QObject):
    """Takes steps at a rate.

    Parameters
    ----------
    step
        Takes one; False where there is none to take, which ends the playing.
    per_second
        Steps in a second.
    changes
        Tell that what the steps change is changed: where it was not a step, the user took over, and the playing ends.
    parent
        Owner.

    Signals
    -------
    changed
        It began or ended.
    """

    changed = Signal()

    def __init__(
        self,
        step: Callable[[], bool],
        per_second: float,
        changes: tuple[SignalInstance, ...],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._take = step
        self._is_stepping = False
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._step)
        self.set_rate(per_second)
        for signal in changes:
            signal.connect(self._meet)

    @property
    def is_on(self) -> bool:
        """Whether it goes on."""
        return self._timer.isActive()

    def set_rate(self, per_second: float) -> None:
        """Take so many steps in a second."""
        self._timer.setInterval(round(1000 / per_second))

    def toggle(self) -> None:
        """Begin with a first step, or end."""
        if self.is_on:
            self.stop()
        else:
            self._timer.start()
            self.changed.emit()
            self._step()

    def stop(self) -> None:
        """End."""
        if self.is_on:
            self._timer.stop()
            self.changed.emit()

    def _step(self) -> None:
        self._is_stepping = True
        try:
            can_go_on = self._take()
        finally:
            self._is_stepping = False
        if not can_go_on:
            self.stop()

    def _meet(self, *_: Any) -> None:
        if not self._is_stepping:
            self.stop()


def cine(session: Session) -> Playing:
    """Go through the slices of a series, from the last on to the first."""

    def step() -> bool:
        if session.series is None or session.series.n_slices < 2:
            return False
        # One that is still being read is waited for: reads do not pile up, and no slice is left out.
        if session.preview is not None or session.previews.problem:
            session.select(index=(session.slice_index + 1) % session.series.n_slices)
        return True

    return Playing(step, session.view.rate, (session.slice_changed, session.series_changed), session)


def flicker(session: Session) -> Playing:
    """Change between the result in view and the one before, as long as both have the slice."""

    def step() -> bool:
        if not session.can_flicker:
            return False
        session.blink()
        return True

    return Playing(step, FLICKERS_PER_SECOND, (session.result_changed,), session)
