"""The panes around the images: where they stand, which the user closed, and how all of them come back."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from PySide6.QtCore import QByteArray, Qt
from PySide6.QtWidgets import QDockWidget, QHBoxLayout, QTabBar, QWidget

from app import theme

if TYPE_CHECKING:
    from collections.abc import Collection

    from PySide6.QtWidgets import QMainWindow

_SIDE_WIDTH = 296
_BOTTOM_HEIGHT = 206
_LEFT, _BOTTOM, _RIGHT = (
    Qt.DockWidgetArea.LeftDockWidgetArea, Qt.DockWidgetArea.BottomDockWidgetArea, Qt.DockWidgetArea.RightDockWidgetArea,
)  # fmt: skip
_PLACES = {
    "studies": ("Studies", _LEFT), "recipe": ("Recipe", _LEFT), "metrics": ("Scores", _BOTTOM),
    "kspace": ("k-space", _BOTTOM), "header": ("Header", _BOTTOM), "region": ("Region", _BOTTOM),
    "profile": ("Profile", _BOTTOM), "coils": ("Coils", _BOTTOM), "training": ("Training", _RIGHT),
    "log": ("Log", _BOTTOM),
}  # fmt: skip
_PADDED = ("kspace", "coils")
_TABS = ("header", "region", "profile", "coils", "log")


class Panes:
    """The docks of a window.

    Parameters
    ----------
    window
        What they stand in.
    views
        What each of `_PLACES` holds.

    Attributes
    ----------
    docks
        Each by its name.
    """

    def __init__(self, window: QMainWindow, views: dict[str, QWidget]) -> None:
        self._window = window
        self.docks: dict[str, QDockWidget] = {}
        window.setCorner(Qt.Corner.BottomLeftCorner, _LEFT)
        window.setCorner(Qt.Corner.BottomRightCorner, _RIGHT)
        for name, (title, area) in _PLACES.items():
            dock = QDockWidget(title, window)
            dock.setObjectName(f"dock-{name}")
            dock.setWidget(_padded(views[name]) if name in _PADDED else views[name])
            window.addDockWidget(area, dock)
            self.docks[name] = dock
        window.splitDockWidget(self.docks["metrics"], self.docks["header"], Qt.Orientation.Horizontal)
        window.splitDockWidget(self.docks["header"], self.docks["kspace"], Qt.Orientation.Horizontal)
        for left, right in pairwise(_TABS):
            window.tabifyDockWidget(self.docks[left], self.docks[right])
        window.setTabPosition(_BOTTOM, window.tabPosition(Qt.DockWidgetArea.TopDockWidgetArea))
        self.docks["header"].raise_()
        # Asked for by name, or shown by a run; it takes the room of images.
        self._closed = {self.docks["training"]}
        self._is_laid_out = False
        self._first_state = window.saveState()

    @property
    def state(self) -> str:
        """Where everything stands, for `show_all` of another day."""
        return bytes(self._window.saveState().toBase64().data()).decode()

    def show_all(self, state: str = "") -> None:
        """Show what the user did not close; for the first time, as it stood on another day."""
        for dock in self.docks.values():
            dock.setVisible(dock not in self._closed)
        if not self._is_laid_out:
            self._is_laid_out = True
            self._size()
            if state:
                self._restore(QByteArray.fromBase64(state.encode()))

    def hide_all(self) -> None:
        """Hide all, and remember which the user had closed."""
        if self._is_laid_out:
            self._closed = {dock for dock in self.docks.values() if dock.isHidden()}
        for dock in self.docks.values():
            dock.hide()

    def reset(self, hidden: Collection[str]) -> None:
        """Put every pane back to where it was on the first day, some of them out of sight."""
        self._restore(self._first_state)
        for name, dock in self.docks.items():
            dock.setVisible(name not in hidden)
        self._size()

    def show(self, name: str) -> None:
        """Bring a pane to the front, also one that was closed."""
        self.docks[name].show()
        self.docks[name].raise_()

    def is_seen(self, name: str) -> bool:
        """Whether something of a pane is in sight; one under another counts as visible to Qt."""
        return not self.docks[name].visibleRegion().isEmpty()

    def toggle(self, name: str) -> None:
        """Bring a pane to the front, or put away the one that is there."""
        if self.is_seen(name):
            self.docks[name].close()
        else:
            self.show(name)

    def widen(self, name: str, width: int) -> None:
        """Give a pane at the side a width; the panes on the other side keep theirs."""
        docks = [self.docks[one] for one in ("studies", "recipe", name)]
        self._window.resizeDocks(docks, [_SIDE_WIDTH, _SIDE_WIDTH, width], Qt.Orientation.Horizontal)

    def _restore(self, state: QByteArray) -> None:
        # Qt makes new tabs, and leaves the old ones where they were.
        for bar in self._window.findChildren(QTabBar, options=Qt.FindChildOption.FindDirectChildrenOnly):
            bar.hide()
        self._window.restoreState(state)

    def _size(self) -> None:
        sides = [self.docks["studies"], self.docks["recipe"]]
        below = [self.docks["metrics"], self.docks["header"], self.docks["kspace"]]
        self._window.resizeDocks(sides, [_SIDE_WIDTH, _SIDE_WIDTH], Qt.Orientation.Horizontal)
        self._window.resizeDocks(sides, [208, 540], Qt.Orientation.Vertical)
        self._window.resizeDocks(below[:1], [_BOTTOM_HEIGHT], Qt.Orientation.Vertical)
        self._window.resizeDocks(below, [380, 400, 220], Qt.Orientation.Horizontal)
        self.docks["header"].raise_()


def _padded(widget: QWidget) -> QWidget:
    frame = QWidget()
    layout = QHBoxLayout(frame)
    layout.setContentsMargins(theme.GAP, 0, theme.GAP, theme.SPACE)
    layout.addWidget(widget)
    return frame
