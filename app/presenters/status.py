"""Says where the user is and what runs: the line under the images, and the slice and levels above them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QSize, Qt
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QLabel

from app import theme
from app.messages import sentence
from app.views import levels
from app.views.component import Component
from app.views.level_bar import MANUAL
from app.views.named import named

if TYPE_CHECKING:
    from PySide6.QtGui import QPaintEvent
    from PySide6.QtWidgets import QStatusBar

    from app.presenters.grid import GridPresenter
    from app.session import Session
    from app.views.image_grid import ImageGrid
    from app.views.level_bar import LevelBar

NAMES = ("slice", "probe", "levels", "zoom", "flip", "device", "job", "training")
LONG = ("probe", "job")
"""Those that give way in a narrow window."""


class _Elided(QLabel):
    """A line that is cut off with dots where there is no room for all of it; `text` stays whole."""

    def minimumSizeHint(self) -> QSize:
        return QSize(
            self.fontMetrics().horizontalAdvance("…") if self.text() else 0, super().minimumSizeHint().height()
        )

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setPen(self.palette().color(self.foregroundRole()))
        room = self.contentsRect()
        text = self.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideRight, room.width())
        painter.drawText(room, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, text)
        painter.end()


class StatusPresenter(QObject):
    """Fills the status bar and the level bar from the session.

    Parameters
    ----------
    session
        What is shown of.
    bar, level_bar
        What is filled.
    grid, images
        The images, and what fills them.

    Attributes
    ----------
    labels
        What the status bar shows, by name. ``training`` is filled by the training desk.
    """

    labels: dict[str, QLabel]

    def __init__(
        self,
        session: Session,
        bar: QStatusBar,
        level_bar: LevelBar,
        grid: ImageGrid,
        images: GridPresenter,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session = session
        self._level_bar = level_bar
        self._grid = grid
        self.labels = {name: named(f"status-{name}", _Elided() if name in LONG else QLabel()) for name in NAMES}
        self._lay_out(bar)
        grid.viewChanged.connect(lambda _zoom: self.refresh())
        for signal in (
            session.slice_changed, session.series_changed, session.preview_changed, session.result_changed,
            session.job_changed, session.request_changed, session.view.levels_changed, session.view.crosshair_changed,
            session.position_changed, session.devices_changed, session.opening_changed, session.view.options_changed,
            session.cine.changed, session.view.rate_changed, session.queue.changed,
        ):  # fmt: skip
            signal.connect(self.refresh)
        # The value under the crosshair is that of the images in view, which follow the session a moment later.
        images.refreshed.connect(self.refresh)
        session.view.presets_changed.connect(self._show_presets)
        session.progress_changed.connect(self._show_job)
        self._show_presets()
        self.refresh()

    def _lay_out(self, bar: QStatusBar) -> None:
        bar.setSizeGripEnabled(False)
        bar.setContentsMargins(theme.MARGIN, 0, theme.MARGIN, 0)
        for label in self.labels.values():
            label.setFont(theme.number_font(bar.font()))
            label.setProperty("muted", True)
            bar.addWidget(label)
        research = named("status-research", QLabel("research use only"))
        research.setProperty("muted", True)
        bar.addPermanentWidget(research)

    def refresh(self, *_: Any) -> None:
        """Bring both bars up to date."""
        series, labels = self._session.series, self.labels
        if series is None:
            return
        index = self._session.slice_index
        self._level_bar.set_slice(index, series.n_slices)
        pace = f" · {self._session.view.rate} fps" if self._session.cine.is_on else ""
        labels["slice"].setText(f"slice {index + 1}/{series.n_slices}{pace}")
        labels["probe"].setText(self._probe_text())
        self._show_levels()
        zoom = self._grid.view().zoom
        self._level_bar.set_zoom(zoom)
        labels["zoom"].setText(f"zoom {zoom:.0%}")
        flipped = "view: flipped ↕" if series.geometry.flip_rows else ""
        unknown = "orientation unverified" if series.geometry.is_synthetic else ""
        labels["flip"].setText(" · ".join(filter(None, (flipped, unknown))))
        asked, best = self._session.request.device, self._session.devices[1:2]
        labels["device"].setText(f"device {asked}{f' ({best[0]})' if asked == 'auto' and best else ''}")
        self._show_job()
        for label in labels.values():
            label.setVisible(bool(label.text()))

    def _show_presets(self) -> None:
        view = self._session.view
        self._level_bar.set_presets(view.presets)
        self._level_bar.set_preset(view.preset or MANUAL)

    def _show_levels(self) -> None:
        view, preview = self._session.view, self._session.preview
        self._level_bar.set_component(view.component, view.colours)
        if view.levels is None:
            if self._session.previews.problem:
                # Those of the series before would be taken for this one's.
                self.labels["levels"].setText("")
                self._level_bar.clear_levels()
            return
        low, high = view.levels
        self._level_bar.set_levels(low, high, is_inverted=view.is_inverted)
        self._level_bar.set_preset(view.preset or MANUAL)
        has_reference = preview is not None and preview.reference is not None
        self._level_bar.set_matched(view.preset == "matched" if has_reference else None)
        width, centre = levels.format_value(high - low, 3), levels.format_value(0.5 * (low + high), 3)
        part = "" if view.component is Component.MAGNITUDE else f"{view.component.title.lower()}  "
        unit = " rad" if view.component is Component.PHASE else ""
        self.labels["levels"].setText(f"{part}W {width} L {centre}{unit} ({view.preset_title})")

    def _show_job(self, *_: Any) -> None:
        session, result = self._session, self._session.result
        opening = f"opening {session.opening[0].name} …" if session.opening else ""
        shown = "" if result is None else f"result {result.title}"
        n_waiting = len(session.queue.waiting)
        others = f" · {n_waiting} waiting" if n_waiting else ""
        running = f"running {session.runner.place}{others}" if session.is_running else ""
        self.labels["job"].setText(running or opening or shown)
        used = "" if result is None else result.parameter_text
        remarks = () if result is None else (sentence(text) for text in result.remarks)
        # The line may be cut off, so the tip begins with all of it.
        lines = [self.labels["job"].text(), f"Reconstructed with {used}." if used else "", *remarks]
        self.labels["job"].setToolTip("\n".join(line for line in lines if line))

    def _probe_text(self) -> str:
        crosshair = self._session.view.crosshair
        if crosshair is None or not self._session.view.has_crosshair:
            return ""
        values = self._grid.probe_values()
        shown = [f"{name} {levels.format_value(values[name], 3)}" for name in ("final", "reference") if name in values]
        return f"({crosshair[0]}, {crosshair[1]})  " + "  ".join(shown)
