"""Curves of training runs: loss, PSNR, SSIM and learning rate against steps, epochs or minutes, one colour a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QFontMetricsF
from PySide6.QtWidgets import QGridLayout, QWidget

from app import theme

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

AXES = ("steps", "epochs", "minutes")
N_POINTS = 1500
"""Points of a curve that are drawn; longer ones are averaged in blocks."""
N_MARKED = 30
_DECADES = 30.0
_PADDING = 0.04
"""Share of the curves that is left free around them."""
_SMOOTHING = 50
"""A smooth curve averages this share of the points around each."""


@dataclass(frozen=True)
class RunCurves:
    """Curves of one run.

    Attributes
    ----------
    name
        What the run is called.
    curves
        Steps and values by name, as in `app.training.events.Record`.
    is_main
        The run that is followed; others are only compared with it.
    epoch_steps
        Steps of an epoch; None while nobody knows.
    """

    name: str
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]
    is_main: bool = True
    epoch_steps: float | None = None

    def places(self, steps: NDArray, axis: str) -> NDArray:
        """Return where steps lie on one of `AXES`; not a number where the run does not tell.

        Minutes are those of training: pauses, and what validation takes, do not count.
        """
        if axis == "steps":
            return steps
        unknown: NDArray = np.full(len(steps), np.nan)
        if axis == "epochs":
            return steps / self.epoch_steps if self.epoch_steps else unknown
        known, seconds = self.curves.get("seconds", ((), ()))
        if not len(known):
            return unknown
        places: NDArray = np.interp(steps, [0.0, *known], [0.0, *seconds]) / 60.0
        return places


@dataclass(frozen=True)
class _Plot:
    """Which curves a plot shows: the first that exists of `keys`, and the quiet ones beside it.

    A plot is never closer than `least_span`: what a validation wavers by is no news.
    """

    title: str
    keys: tuple[str, ...]
    quiet: tuple[str, ...] = ()
    is_noisy: bool = False
    least_span: float = 0.0
    hint: str = field(default="", compare=False)


PLOTS = (
    _Plot("loss", ("loss", "epoch_loss"), (), True, hint="Training loss, as it came and smoothed."),
    _Plot("PSNR, dB", ("psnr",), ("zero_filled_psnr",), False, 0.1, "On the validation slices; dashed: zero-filled."),
    _Plot("SSIM", ("ssim",), ("zero_filled_ssim",), False, 0.002, "On the validation slices; dashed: zero-filled."),
    _Plot("learning rate", ("learning_rate",), hint="As the schedule has it."),
)


def thinned(x: NDArray, y: NDArray, n_most: int = N_POINTS) -> tuple[NDArray, NDArray]:
    """Return at most so many points: means of equal blocks, and the last point as it is."""
    size = -(-len(x) // n_most)
    if size <= 1:
        return x, y
    whole = (len(x) - 1) // size * size
    blocks = (values[:whole].reshape(-1, size).mean(axis=1) for values in (x, y))
    first, second = (np.append(block, values[-1]) for block, values in zip(blocks, (x, y), strict=True))
    return first, second


def smoothed(y: NDArray) -> NDArray:
    """Return the running mean over a fiftieth of the curve; fewer points at its ends."""
    half = len(y) // _SMOOTHING
    if half == 0:
        return y
    total = np.concatenate([[0.0], np.cumsum(y)])
    places = np.arange(len(y))
    start, stop = np.maximum(places - half, 0), np.minimum(places + half + 1, len(y))
    mean: NDArray = (total[stop] - total[start]) / (stop - start)
    return mean


def _span(widget: Any, axis: int) -> tuple[float, float] | None:
    """Return how far the curves of a plot reach, in what its axis counts: logarithms where it has them."""
    bounds = [item.dataBounds(axis) for item in widget.listDataItems()]
    known = [(low, high) for low, high in bounds if low is not None and high is not None]
    return (min(low for low, _ in known), max(high for _, high in known)) if known else None


def _padded(low: float, high: float, least: float = 0.0) -> tuple[float, float]:
    """Return a range with room around it; one value gets a fifth of itself."""
    span = max(high - low, least, 1e-6 * max(abs(low), abs(high)))
    if high == low:
        span = max(least, 0.2 * abs(low)) or 1.0
    room = (span - (high - low)) / 2 + _PADDING * span
    return low - room, high + room


def colour_of(number: int) -> str:
    """Colour of a run by its place in the comparison."""
    series = theme.colours().series
    return series[number % len(series)]


class TrainingPlots(QWidget):
    """Four plots over one axis; made with the first curve, as their library takes half a second to import."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._plots: list[Any] = []
        self._runs: tuple[RunCurves, ...] = ()
        self._axis = AXES[0]
        self._is_following = True
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(theme.SPACE)
        self.setMinimumHeight(220)
        theme.notifier().changed.connect(self._restyle)

    def set_runs(self, runs: Sequence[RunCurves]) -> None:
        """Show these runs and no others."""
        if [run.name for run in runs] != [run.name for run in self._runs]:
            self._is_following = True
        self._runs = tuple(runs)
        if self.has_curves():
            self._make()
        self._draw()

    def has_curves(self) -> bool:
        """Whether there is anything to draw."""
        return any(steps for run in self._runs for steps, _ in run.curves.values())

    def set_axis(self, axis: str) -> None:
        """Draw against one of `AXES`; all of it comes into view."""
        self._axis = axis
        self._is_following = True
        self._draw()

    def drawn(self) -> dict[str, list[str]]:
        """Return the names of the curves in each plot, by the plot's title."""
        return {
            plot.title: [item.name() for item in widget.listDataItems() if item.name()]
            for plot, widget in zip(PLOTS, self._plots, strict=False)
        }

    def _make(self) -> None:
        if self._plots:
            return
        theme.configure_plots()
        import pyqtgraph

        from app.views.training_axis import NumberAxis

        font = theme.small_font(self.font())
        for place, plot in enumerate(PLOTS):
            widget = pyqtgraph.PlotWidget(self, axisItems={side: NumberAxis(side) for side in ("left", "bottom")})
            widget.setAccessibleName(f"Curves of the {plot.title}")
            widget.setToolTip(plot.hint)
            widget.setMinimumSize(120, 96)
            widget.setMenuEnabled(False)
            # The library makes this menu without an owner; it has to go with its plot.
            menu = widget.plotItem.ctrlMenu
            menu.setParent(widget, menu.windowFlags())
            widget.hideButtons()
            widget.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            widget.showGrid(x=False, y=True, alpha=0.15)
            # All plots of a column begin at one place, and the longest number fits.
            widget.getAxis("left").setWidth(round(QFontMetricsF(font).horizontalAdvance("1.25e-3")) + 8)
            for side in ("left", "bottom"):
                widget.getAxis(side).enableAutoSIPrefix(False)
                widget.getAxis(side).setStyle(tickFont=font, autoExpandTextSpace=False)
            # One plot does not know how far the curves of the others reach: `_fit` looks at all.
            widget.disableAutoRange()
            if self._plots:
                widget.setXLink(self._plots[0])
            widget.getViewBox().sigRangeChangedManually.connect(self._hold)
            self._plots.append(widget)
            self._grid.addWidget(widget, place // 2, place % 2)
        self._restyle()

    def _draw(self) -> None:
        for plot, widget in zip(PLOTS, self._plots, strict=False):
            widget.clear()
            widget.setLogMode(y=plot.is_noisy and self._spans_decades(plot))
            # The run that is followed is drawn last, on top of what it is compared with.
            for number, run in reversed(list(enumerate(self._runs))):
                self._draw_run(plot, widget, number, run)
            # Without a curve there is no range, and numbers would be made up.
            widget.getAxis("left").setStyle(showValues=bool(widget.listDataItems()))
        if self._is_following and self._plots:
            self._fit()

    def _hold(self, *_: Any) -> None:
        """Keep what the user looks at; another axis or another run shows all again."""
        self._is_following = False

    def _fit(self) -> None:
        """Show all of all curves."""
        spans = [_span(widget, 0) for widget in self._plots]
        known = [span for span in spans if span is not None]
        if known:
            low, high = _padded(min(low for low, _ in known), max(high for _, high in known))
            self._plots[0].setXRange(low, high, padding=0)
        for plot, widget in zip(PLOTS, self._plots, strict=True):
            span = _span(widget, 1)
            if span is not None:
                widget.setYRange(*_padded(*span, plot.least_span), padding=0)

    def _spans_decades(self, plot: _Plot) -> bool:
        """Whether the smooth curves reach over so much that their ends would lie flat on a linear axis."""
        found = [
            smoothed(np.asarray(run.curves[key][1])) for run in self._runs for key in plot.keys[:1] if key in run.curves
        ]
        values = np.concatenate(found) if found else np.zeros(0)
        values = values[np.isfinite(values) & (values > 0)]
        return bool(len(values) and values.max() > _DECADES * values.min())

    def _draw_run(self, plot: _Plot, widget: Any, number: int, run: RunCurves) -> None:
        import pyqtgraph

        colour = colour_of(number)
        for key in plot.quiet if run.is_main else ():
            self._line(widget, run, key, pyqtgraph.mkPen(theme.colours().muted, width=1.2, style=Qt.PenStyle.DashLine))
        shown = next((one for one in plot.keys if run.curves.get(one, ((), ()))[0]), None)
        if shown is None:
            return
        is_noisy = plot.is_noisy and shown == plot.keys[0]
        if is_noisy and run.is_main:
            faint = pyqtgraph.mkColor(colour)
            faint.setAlpha(80)
            self._line(widget, run, shown, pyqtgraph.mkPen(faint, width=1.0), is_named=False)
        pen = pyqtgraph.mkPen(colour, width=1.8 if run.is_main else 1.3)
        self._line(widget, run, shown, pen, is_smooth=is_noisy)

    def _line(
        self, widget: Any, run: RunCurves, key: str, pen: Any, *, is_smooth: bool = False, is_named: bool = True
    ) -> None:
        steps, y = (np.asarray(values, dtype=np.float64) for values in run.curves.get(key, ((), ())))
        x = run.places(steps, self._axis)
        good = np.isfinite(x) & np.isfinite(y)
        if widget.getAxis("left").logMode:
            good &= y > 0
        x, y = x[good], y[good]
        if not len(x):
            return
        x, y = thinned(x, smoothed(y) if is_smooth else y)
        # A single point is no line; it has to be seen all the same.
        is_marked = len(x) == 1 or (len(x) < N_MARKED and pen.style() == Qt.PenStyle.SolidLine)
        symbol = "o" if is_marked else None
        name = f"{run.name}: {key}" if is_named else None
        widget.plot(x, y, pen=pen, name=name, symbol=symbol, symbolSize=4, symbolBrush=pen.color(), symbolPen=None)

    def _restyle(self) -> None:
        colours = theme.colours()
        for plot, widget in zip(PLOTS, self._plots, strict=False):
            widget.setBackground(colours.base)
            widget.setTitle(plot.title, color=colours.muted, size="8pt")
            for side in ("left", "bottom"):
                axis = widget.getAxis(side)
                axis.setPen(colours.line)
                axis.setTextPen(colours.muted)
        self._draw()
