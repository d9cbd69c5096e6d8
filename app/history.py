"""What the user changed last, to be taken back and done again: the recipe, the window, the region."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QTimer, Signal

if TYPE_CHECKING:
    from app.session import Session
    from app.views.component import Component
    from app.views.levels import Limits, Policy

# What comes closer together is one change: a drag of the window, a number that is typed.
SETTLE_MS = 500
_LONGEST = 100
_RECIPE, _WINDOW, _REGION = "recipe", "window", "region"


@dataclass(frozen=True)
class Window:
    """Limits of each component, the preset that they came from, and what that one stood for."""

    levels: dict[Component, Limits]
    preset: str | None
    policy: Policy | None


@dataclass(frozen=True)
class Change:
    """What was changed, by the names of the things, as it was before and as it was after."""

    before: dict[str, Any]
    after: dict[str, Any]

    def __str__(self) -> str:
        return " and ".join(self.before)

    def only(self, name: str) -> Change | None:
        """Return the part of it that is of one thing; None where there is none."""
        return Change({name: self.before[name]}, {name: self.after[name]}) if name in self.before else None


class History(QObject):
    """Notes changes as they settle.

    Parameters
    ----------
    session
        Whose changes these are.

    Signals
    -------
    changed
        Something else can be taken back, or done again.
    """

    changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self._done: list[Change] = []
        self._undone: list[Change] = []
        self._now = self._state()
        self._settling = QTimer(self, singleShot=True, interval=SETTLE_MS)
        self._settling.timeout.connect(self._note)
        view = session.view
        for signal in (session.request_changed, view.levels_changed, view.region_changed):
            signal.connect(self._settling.start)
        session.series_changed.connect(self._meet)
        session.keeping.changed.connect(self._start)
        session.keeping.levels_restored.connect(self._meet)

    @property
    def undoes(self) -> str:
        """What would be taken back, such as ``window``; empty for nothing."""
        if self._session.recipe.is_refused:
            return _RECIPE
        fresh = self._fresh() if self._settling.isActive() else None
        return str(fresh or (self._done[-1] if self._done else ""))

    @property
    def redoes(self) -> str:
        """What would be done again; empty for nothing."""
        return str(self._undone[-1]) if self._undone else ""

    def undo(self) -> None:
        """Take the last change back; a value that was refused, which changed nothing yet, before all others."""
        self._settle()
        if self._session.recipe.is_refused:
            self._take({_RECIPE: self._session.request})
        elif self._done:
            change = self._done.pop()
            self._undone.append(change)
            self._take(change.before)

    def redo(self) -> None:
        """Do again what was taken back last."""
        self._settle()
        if self._undone:
            change = self._undone.pop()
            self._done.append(change)
            self._take(change.after)

    def stop(self) -> None:
        """Note nothing any more."""
        self._settling.stop()

    def _state(self) -> dict[str, Any]:
        view = self._session.view
        kept = view.kept_levels
        window = Window(kept, view.preset, view.policy(view.preset)) if kept else None
        return {_RECIPE: self._session.request, _WINDOW: window, _REGION: view.region}

    def _fresh(self) -> Change | None:
        """Return what is different now from what was noted last."""
        now, was = self._state(), self._now
        names = [name for name in now if now[name] != was[name]]
        first, last = was[_WINDOW], now[_WINDOW]
        # The first window of a series comes from its data, and a preset that changed its meaning moves no window.
        if _WINDOW in names and (first is None or last is None or first.levels == last.levels):
            names.remove(_WINDOW)
        return Change({name: was[name] for name in names}, {name: now[name] for name in names}) if names else None

    def _settle(self) -> None:
        if self._settling.isActive():
            self._settling.stop()
            self._note()

    def _note(self) -> None:
        self._add(self._fresh())
        self._now = self._state()
        self.changed.emit()

    def _add(self, change: Change | None) -> None:
        if change is not None:
            self._done = [*self._done[1 - _LONGEST :], change]
            self._undone = []

    def _begin(self) -> None:
        """Take what is there as the start: nobody changed it."""
        self._settling.stop()
        self._now = self._state()
        self.changed.emit()

    def _start(self) -> None:
        """Begin where a session was opened: what was changed before it is of another one."""
        self._done, self._undone = [], []
        self._begin()

    def _meet(self) -> None:
        """Let go of changes of a window and region that gave way to those of a series or session; recipes stay."""
        fresh = self._fresh()
        self._add(None if fresh is None else fresh.only(_RECIPE))
        self._done = [part for part in (change.only(_RECIPE) for change in self._done) if part is not None]
        self._undone = [part for part in (change.only(_RECIPE) for change in self._undone) if part is not None]
        self._begin()

    def _take(self, state: dict[str, Any]) -> None:
        session, view = self._session, self._session.view
        if _RECIPE in state:
            session.set_request(state[_RECIPE])
        if _WINDOW in state:
            window = state[_WINDOW]
            is_same = view.policy(window.preset) == window.policy
            view.take_levels(window.levels, window.preset if is_same else None)
        if _REGION in state:
            view.set_region(state[_REGION])
        self._begin()
