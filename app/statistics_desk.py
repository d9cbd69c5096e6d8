"""What the window does about statistics: shows them where the scores are, wide enough for their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt

from app.presenters.statistics import StatisticsPresenter

if TYPE_CHECKING:
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
        self.presenter = StatisticsPresenter(window.session, window.statistics, self)

    def toggle(self) -> None:
        """Bring the statistics to the front, or the scores again; below the images they take room from what is beside.

        The room stays theirs until the user gives it to others: panes that move with every key are hard to read.
        """
        window, pane = self._window, self._window.scores
        if not window.statistics.visibleRegion().isEmpty():
            pane.setCurrentWidget(window.metrics)
            return
        pane.setCurrentWidget(window.statistics)
        window.panes.show("metrics")
        dock = window.docks["metrics"]
        if dock.isFloating() or window.dockWidgetArea(dock) != Qt.DockWidgetArea.BottomDockWidgetArea:
            return
        shares = {name: share for name, share in _SHARES.items() if not window.docks[name].isHidden()}
        if pane.width() < shares["metrics"] * window.pages.width():
            widths = [round(share * window.pages.width()) for share in shares.values()]
            window.resizeDocks([window.docks[name] for name in shares], widths, Qt.Orientation.Horizontal)
        window.resizeDocks([dock], [max(LEAST_HEIGHT, dock.height())], Qt.Orientation.Vertical)
