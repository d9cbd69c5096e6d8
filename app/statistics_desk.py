"""What the window does about statistics: shows them where the scores are, wide enough for their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt

from app.presenters.statistics import StatisticsPresenter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.main_window import MainWindow

LEAST_HEIGHT = 250
# Of the width below the images; header and k-space stay in sight beside it.
_SHARES = {"metrics": 0.63, "header": 0.19, "kspace": 0.18}


class StatisticsDesk(QObject):
    """Connects the statistics with the window around them.

    Parameters
    ----------
    window
        The window.
    """

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._before: dict[str, tuple[int, int]] = {}
        # What they had right after the statistics took their room; None while they have none.
        self._taken: dict[str, tuple[int, int]] | None = None
        self.presenter = StatisticsPresenter(window.session, window.statistics, self)

    def toggle(self) -> None:
        """Bring the statistics to the front, or the scores again; below the images they take room from what is beside.

        They give it back with the scores, but where the user has moved the borders meanwhile.
        """
        window, pane = self._window, self._window.scores
        if not window.statistics.visibleRegion().isEmpty():
            pane.setCurrentWidget(window.metrics)
            if self._taken is not None and self._sizes() == self._taken:
                self._resize(self._before)
            self._taken = None
            return
        pane.setCurrentWidget(window.statistics)
        window.panes.show("metrics")
        dock = window.docks["metrics"]
        if dock.isFloating() or window.dockWidgetArea(dock) != Qt.DockWidgetArea.BottomDockWidgetArea:
            return
        self._before = self._sizes()
        wanted = dict(self._before)
        if pane.width() < _SHARES["metrics"] * (whole := window.pages.width()):
            wanted = {name: (round(_SHARES[name] * whole), height) for name, (_, height) in wanted.items()}
        width, height = wanted["metrics"]
        self._resize(wanted | {"metrics": (width, max(LEAST_HEIGHT, height))})
        self._taken = self._sizes()

    def _sizes(self) -> dict[str, tuple[int, int]]:
        """Width and height of the panes below the images that stand beside one another."""
        sizes = {}
        for name in _SHARES:
            dock = self._window.docks[name]
            # Of tabs, that in front has the size of all.
            tabs = [dock, *self._window.tabifiedDockWidgets(dock)]
            front = next((one for one in tabs if not one.visibleRegion().isEmpty()), dock)
            if not dock.isHidden():
                sizes[name] = (front.width(), front.height())
        return sizes

    def _resize(self, sizes: Mapping[str, tuple[int, int]]) -> None:
        window = self._window
        docks = [window.docks[name] for name in sizes]
        window.resizeDocks(docks, [width for width, _ in sizes.values()], Qt.Orientation.Horizontal)
        window.resizeDocks([window.docks["metrics"]], [sizes["metrics"][1]], Qt.Orientation.Vertical)
        layout = window.layout()
        if layout is not None:
            layout.activate()  # now, so that the sizes can be asked for
