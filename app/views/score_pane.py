"""Scores of the slice in view and of the volume, and behind them what the slices say together."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QTabWidget, QWidget


class ScorePane(QTabWidget):
    """Two tabs (object name ``scorePane``), below what they show as those of the panes beside it are.

    Parameters
    ----------
    scores, statistics
        What stands in the tabs.
    """

    def __init__(self, scores: QWidget, statistics: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("scorePane")
        self.setAccessibleName("Scores and statistics")
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setTabPosition(QTabWidget.TabPosition.South)
        self.setDocumentMode(True)
        self.addTab(scores, "Scores")
        self.addTab(statistics, "Statistics")
        # A key of the window turns these pages; a tab that kept the arrow keys would take them from the images.
        self.tabBar().setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def minimumSizeHint(self) -> QSize:
        """Four lines, the tabs among them: a small window has little room below its images."""
        return QSize(super().minimumSizeHint().width(), 4 * (self.fontMetrics().height() + 6))
