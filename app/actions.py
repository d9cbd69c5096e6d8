"""The commands of `app.command_list` as actions of a window: menus, keys, what is enabled and ticked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QApplication, QMenu

from app import theme
from app.command_list import COMMANDS, MENUS, Command
from app.views.fields import commit

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

    from app.main_window import MainWindow


class Actions:
    """The commands as Qt actions of a window."""

    def __init__(self, window: MainWindow) -> None:
        self._window = window
        self.by_name: dict[str, QAction] = {}
        for command in COMMANDS:
            action = QAction(command.text, window)
            action.setObjectName(command.identifier)
            action.setShortcuts([QKeySequence(key) for key in command.keys])
            action.setCheckable(command.checked is not None)
            if command.icon:
                theme.set_icon(action, command.icon)
            action.triggered.connect(lambda _checked=False, command=command: self._run(command))
            window.addAction(action)
            self.by_name[command.identifier] = action
        session = window.session
        for signal in (
            session.series_changed, session.job_changed, session.request_changed, session.mask_changed,
            session.result_changed, session.results_changed, session.view.options_changed, session.view.levels_changed,
            session.slice_changed, session.flicker.changed, session.cine.changed, session.view.presets_changed,
            session.queue.changed, session.keeping.changed, session.studies_changed, session.history.changed,
        ):  # fmt: skip
            signal.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Enable what can be done now."""
        session = self._window.session
        for command in COMMANDS:
            action = self.by_name[command.identifier]
            action.setEnabled(command.enabled(session))
            if command.checked is not None:
                action.setChecked(command.checked(session))
            if command.what is not None:
                action.setText(f"{command.text} {command.what(session)}".strip())

    def fill(self, window: MainWindow, panes: QMenu) -> None:
        """Make the menus, with that of the panes before the last one, where help is looked for."""
        for name in MENUS:
            if name == MENUS[-1]:
                window.menuBar().addMenu(panes)
            menu = window.menuBar().addMenu(name)
            menu.setObjectName(f"menu{name}")
            for command in COMMANDS:
                if command.menu == name:
                    if command.gap:
                        menu.addSeparator()
                    menu.addAction(self.by_name[command.identifier])

    def menu(self, names: tuple[str, ...], parent: QWidget) -> QMenu:
        """Make a context menu of some commands."""
        menu = QMenu(parent)
        for name in names:
            menu.addAction(self.by_name[name])
        return menu

    def _run(self, command: Command) -> None:
        # A button takes the focus, and with it what was typed; keys and menus do not.
        commit(QApplication.focusWidget())
        command.run(self._window)
        self.refresh()
