"""A training run seen from outside: its curves, what the network makes of a slice, and one line of status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QStackedLayout, QVBoxLayout, QWidget

from app import theme
from app.views import levels
from app.views.image_well import ImageWell
from app.views.named import named

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

EMPTY_TEXT = "No training run yet — start one in Settings \N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK} Training"

N_MARKED = 30


class TrainingMonitor(QWidget):
    """Curves and preview of a training run (object name ``trainingMonitor``).

    Setters: ``set_curves({name: (x, y)})``, ``set_status(text)``, ``set_preview(image, title)``, ``clear()``.
    Names that hold ``loss`` are drawn in the left plot, all others (``PSNR, dB``) in the right one.

    Signals
    -------
    stop_wanted
        The user wants the run to end.
    """

    stop_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("trainingMonitor")
        self.setAccessibleName("Training run")
        self._plots: dict[str, Any] = {}
        self._curves: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self.empty = QLabel(EMPTY_TEXT, self)
        self.empty.setProperty("muted", True)
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.empty.setWordWrap(True)
        self.status = QLabel(self)
        self.status.setAccessibleName("Status of the training run")
        self.status.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        # A long line is cut at the pane instead of widening it.
        self.status.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.stop_button = named("stopTraining", QPushButton("Stop"))
        self.stop_button.setToolTip("End the training run")
        self.stop_button.clicked.connect(self.stop_wanted)
        self.stop_button.hide()
        self.preview = ImageWell(self)
        self.preview.setAccessibleName("Preview of the training run")
        self.preview.setMinimumWidth(140)
        self.preview.setMaximumWidth(320)
        self.preview.viewChanged.connect(self.preview.set_view)
        self.preview.levelsDragged.connect(self.preview.set_levels)
        self.preview.levelsReset.connect(self._reset_levels)
        self.preview.hide()
        self._plot_area = QHBoxLayout()
        self._plot_area.setSpacing(theme.GAP)
        middle = QHBoxLayout()
        middle.setSpacing(theme.GAP)
        middle.addLayout(self._plot_area, 3)
        middle.addWidget(self.preview, 1)
        page = QWidget(self)
        layout = QVBoxLayout(page)
        layout.setContentsMargins(theme.GAP, theme.GAP, theme.GAP, theme.GAP)
        layout.setSpacing(theme.GAP)
        head = QHBoxLayout()
        head.addWidget(self.status, 1)
        head.addWidget(self.stop_button)
        layout.addLayout(head)
        layout.addLayout(middle, 1)
        self._stack = QStackedLayout(self)
        self._stack.addWidget(self.empty)
        self._stack.addWidget(page)
        theme.notifier().changed.connect(self._restyle)

    def set_curves(self, curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> None:
        """Show curves by name as lists of points; names that are gone disappear."""
        self._curves = {
            name: (np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)) for name, (x, y) in curves.items()
        }
        if curves:
            self._make_plots()
            self._stack.setCurrentIndex(1)
        self._draw()

    def set_status(self, text: str) -> None:
        """Say what the run is doing."""
        self.status.setText(text)
        self.status.setToolTip(text)
        if text:
            self._stack.setCurrentIndex(1)

    def set_running(self, is_running: bool) -> None:
        """Offer to stop a run that lives."""
        self.stop_button.setVisible(is_running)

    def set_preview(self, image: NDArray | None, title: str = "") -> None:
        """Show a validation slice, or none."""
        self.preview.set_image(image)
        self.preview.set_note(title)
        self.preview.setVisible(image is not None)
        if image is not None:
            self._reset_levels()
            self._stack.setCurrentIndex(1)

    def clear(self) -> None:
        """Return to the empty state."""
        self.set_curves({})
        self.set_status("")
        self.set_preview(None)
        self._stack.setCurrentIndex(0)

    def is_empty(self) -> bool:
        """Whether no run is shown."""
        return self._stack.currentIndex() == 0

    def curve_names(self) -> list[str]:
        """Names of the curves shown."""
        return list(self._curves)

    def sizeHint(self) -> QSize:
        """Room for two plots and a preview."""
        return QSize(640, 320)

    def _reset_levels(self) -> None:
        if self.preview.image is not None:
            self.preview.set_levels(*levels.Percentile().limits(self.preview.image))

    def _make_plots(self) -> None:
        """Import pyqtgraph with the first curve: the start of the window has no half second to spare for it."""
        if self._plots:
            return
        theme.configure_plots()
        import pyqtgraph

        for key, label in (("loss", "loss"), ("score", "score")):
            plot = pyqtgraph.PlotWidget(self)
            plot.setAccessibleName(f"Curves of the {label}")
            plot.setMinimumHeight(80)
            plot.setLabel("bottom", "step")
            plot.showGrid(x=False, y=True, alpha=0.15)
            plot.setMenuEnabled(False)
            plot.getAxis("left").setWidth(44)
            for side in ("left", "bottom"):
                plot.getAxis(side).enableAutoSIPrefix(False)
            plot.addLegend(offset=(-8, 4), labelTextSize="8pt")
            self._plots[key] = plot
            self._plot_area.addWidget(plot, 1)
        self._plots["score"].setXLink(self._plots["loss"])
        self._restyle()

    def _draw(self) -> None:
        if not self._plots:
            return
        import pyqtgraph

        colours = theme.colours()
        names = {
            "loss": [name for name in self._curves if "loss" in name.lower()],
            "score": [name for name in self._curves if "loss" not in name.lower()],
        }
        for key, plot in self._plots.items():
            plot.clear()
            plot.setVisible(bool(names[key]))
            for number, name in enumerate(names[key]):
                x, y = self._curves[name]
                finite = np.isfinite(x) & np.isfinite(y)
                pen = pyqtgraph.mkPen(colours.series[number % len(colours.series)], width=1.6)
                # A single point is no line; it has to be seen all the same.
                symbol = "o" if np.count_nonzero(finite) < N_MARKED else None
                brush = colours.series[number % len(colours.series)]
                plot.plot(
                    x[finite], y[finite], pen=pen, name=name, symbol=symbol, symbolSize=4, symbolBrush=brush,
                    symbolPen=None,
                )  # fmt: skip

    def _restyle(self) -> None:
        colours = theme.colours()
        for plot in self._plots.values():
            plot.setBackground(colours.base)
            for side in ("left", "bottom"):
                axis = plot.getAxis(side)
                axis.setPen(colours.line)
                axis.setTextPen(colours.muted)
            if plot.plotItem.legend is not None:
                plot.plotItem.legend.setLabelTextColor(colours.text)
        self._draw()
