"""Between the window and its command palette: what can be found, and what happens when it is."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject
from PySide6.QtGui import QKeySequence

from app.command_list import COMMANDS
from app.finding import Choice
from app.views.command_palette import CommandPalette

if TYPE_CHECKING:
    from app.main_window import MainWindow

N_RECENT = 6
OWN = "find"
"""Identifier of the command that opens the palette, which does not list itself."""


class Finder(QObject):
    """Opens the palette of a window on commands, models, series and panes.

    Parameters
    ----------
    window
        The window.
    """

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self.palette = CommandPalette(window)
        self.palette.taken.connect(self._take)
        session = window.session
        # After the actions, which hear of the same changes first.
        for signal in (
            session.series_changed, session.studies_changed, session.job_changed, session.models_changed,
            session.result_changed, session.mask_changed,
        ):  # fmt: skip
            signal.connect(self._refresh)

    def open(self) -> None:
        """Show the palette, with what was chosen last at its top."""
        self.palette.open(self.choices(), self._window.session.settings.recent_choices)

    def choices(self) -> list[Choice]:
        """Return all that can be found."""
        return [*self._commands(), *self._models(), *self._series(), *self._panes()]

    def _commands(self) -> list[Choice]:
        actions = self._window.commands.by_name
        return [
            Choice(
                f"command:{command.identifier}",
                command.text,
                command.menu,
                actions[command.identifier].trigger,
                QKeySequence(command.keys[0]).toString(QKeySequence.SequenceFormat.NativeText) if command.keys else "",
                actions[command.identifier].isEnabled(),
            )
            for command in COMMANDS
            if command.identifier != OWN
        ]

    def _models(self) -> list[Choice]:
        session = self._window.session
        return [
            Choice(
                f"model:{card.name}",
                card.title,
                "Model",
                partial(session.set_request, model=card.name),
                can_run=session.series is not None and not session.recipe.model_problem(card),
            )
            for card in session.models
        ]

    def _series(self) -> list[Choice]:
        session = self._window.session
        return [
            Choice(f"series:{study.path}:{place}", series.title, "Series", partial(session.select, series))
            for study in session.studies
            for place, series in enumerate(study.series)
        ]

    def _panes(self) -> list[Choice]:
        window = self._window
        is_viewing = bool(window.session.studies)
        show = {name: partial(window.panes.show, name) for name in window.docks} | {
            "training": window.training_desk.show_pane
        }
        panes = [
            Choice(f"pane:{name}", dock.windowTitle(), "Panes", show[name], can_run=is_viewing)
            for name, dock in window.docks.items()
        ]
        return [*panes, Choice("pane:", "Reset layout", "Panes", window.reset_layout, can_run=is_viewing)]

    def _take(self, choice: Choice) -> None:
        session = self._window.session
        choice.run()
        # Of a series, the next start knows nothing.
        if not choice.key.startswith("series:"):
            others = (key for key in session.settings.recent_choices if key != choice.key)
            session.change_settings(recent_choices=(choice.key, *others)[:N_RECENT])

    def _refresh(self) -> None:
        if self.palette.isVisible():
            self.palette.refresh(self.choices())
