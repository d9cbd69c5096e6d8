"""The scrubber: every module and iteration on one line, with the PSNR that each reached above it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from PySide6.QtCore import QEvent, QPoint, QPointF, QRect, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import (
    QColor,
    QFontMetrics,
    QHideEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPolygonF,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QAbstractSlider, QComboBox, QSizePolicy, QToolButton, QWidget

from app import theme

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FRAMES_PER_SECOND = (2, 4, 8, 15)
DEFAULT_RATE = 4
_AXIS_WIDTH = 48
_CONTROLS_WIDTH = 76
_KNOB = 5.0
_LOWEST = 84
_UNLIMITED = (1 << 24) - 1


class StageEntry(NamedTuple):
    """A stage as the scrubber knows it.

    Attributes
    ----------
    title
        What a person reads: ``4x · 3``.
    module
        Group that the tick belongs to: ``4x``.
    iteration
        Number inside the module, None for stages without iterations.
    """

    title: str
    module: str
    iteration: int | None = None


class StageScrubber(QAbstractSlider):
    """Slider over stages (object name ``stageScrubber``).

    Setters, which never emit: ``set_stages(entries)``, ``set_scores(values)``, ``set_score(index, value)``,
    ``append(entry, score)``, ``set_lacking(indices)``, ``set_message(text)``, ``set_collapsed(bool)``,
    ``set_position(index)``, ``set_score_name(name, unit)``, ``set_rate(per_second)``, ``clear()``.
    """

    positionChanged = Signal(int)
    """The user moved to a stage, or the cine did."""
    playingChanged = Signal(bool)
    rateChosen = Signal(int)
    """Frames per second that the user chose."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("stageScrubber")
        self.setAccessibleName("Stages of the reconstruction")
        self.setToolTip("Every stage that came out, with its PSNR: click, drag, turn the wheel; Space plays them")
        self.setOrientation(Qt.Orientation.Horizontal)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.setMinimumSize(280, _LOWEST)
        self.setRange(0, 0)
        self.setPageStep(5)
        self._stages: list[StageEntry] = []
        self._scores: list[float | None] = []
        self._lacking: frozenset[int] = frozenset()
        self._message = "No stages yet"
        self._score_name = "PSNR"
        self._unit = "dB"
        self._is_silent = False
        self._hover: int | None = None
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._next_frame)
        self.play_button = QToolButton(self)
        self.play_button.setCheckable(True)
        self.play_button.setProperty("framed", True)
        self.play_button.setAccessibleName("Play the stages")
        self.play_button.setToolTip("Play the stages one after the other")
        theme.set_icon(self.play_button, "play")
        self.play_button.toggled.connect(self.set_playing)
        self.rate = QComboBox(self)
        self.rate.setAccessibleName("Frames per second")
        self.rate.setToolTip("Frames per second, of stages and of slices (S)")
        for frames in FRAMES_PER_SECOND:
            self.rate.addItem(f"{frames} fps", frames)
        self.rate.currentIndexChanged.connect(lambda: self._timer.setInterval(round(1000 / self.rate.currentData())))
        self.rate.activated.connect(lambda: self.rateChosen.emit(self.rate.currentData()))
        self.set_rate(DEFAULT_RATE)
        self.valueChanged.connect(self._value_changed)
        # The keys are those of every slider; it tells where they lead before it goes there.
        self.actionTriggered.connect(lambda: self.setSliderPosition(self._beyond(self.sliderPosition())))
        self._update_state()

    # -- setters ---------------------------------------------------------------------------------------------------

    def set_stages(self, stages: Sequence[tuple[str, str, int | None]]) -> None:
        """Replace all stages; scores are forgotten, the position stays as far as it exists."""
        self._stages = [StageEntry(*stage) for stage in stages]
        self._scores = [None] * len(self._stages)
        self._update_state()

    def set_scores(self, scores: Sequence[float | None]) -> None:
        """Set the score of every stage, None where there is none; missing ones at the end count as None."""
        self._scores = [*scores[: len(self._stages)], *[None] * (len(self._stages) - len(scores))]
        self.update()

    def set_score(self, index: int, score: float | None) -> None:
        """Set the score of one stage."""
        self._scores[index] = score
        self.update()

    def append(self, stage: tuple[str, str, int | None], score: float | None = None) -> None:
        """Add the stage that just came out of a running reconstruction."""
        self._stages.append(StageEntry(*stage))
        self._scores.append(score)
        self._update_state()

    def set_lacking(self, indices: Iterable[int]) -> None:
        """Say which stages have a score and no image any more: they have no tick, and no way leads there."""
        lacking = frozenset(indices)
        if lacking != self._lacking:
            self._lacking = lacking
            hint = "Every stage that came out, with its PSNR: click, drag, turn the wheel; Space plays them"
            kept = "\nOf several slices a few iterates are kept, which have a tick; the line shows the PSNR of all"
            self.setToolTip(hint + (kept if lacking else ""))
            self.update()

    def set_message(self, text: str) -> None:
        """Say why there are no stages."""
        if text != self._message:
            self._message = text
            self._describe()
            self.update()

    def set_collapsed(self, is_collapsed: bool) -> None:
        """Be only as high as the line that says why there are no stages, and leave the rest to the images."""
        line = QFontMetrics(theme.small_font(self.font())).height() + 2 * theme.GAP
        self.setMinimumHeight(line if is_collapsed else _LOWEST)
        self.setMaximumHeight(line if is_collapsed else _UNLIMITED)

    def set_position(self, index: int) -> None:
        """Show a stage as the current one."""
        self._is_silent = True
        try:
            self.setValue(index)
        finally:
            self._is_silent = False

    def set_score_name(self, name: str, unit: str = "") -> None:
        """Say what the line shows."""
        self._score_name, self._unit = name, unit
        self.update()

    def set_rate(self, per_second: int) -> None:
        """Play so many stages in a second."""
        self.rate.setCurrentIndex(FRAMES_PER_SECOND.index(per_second))

    def set_playing(self, is_playing: bool) -> None:
        """Start or stop the cine over the stages."""
        is_playing = is_playing and len(self._stages) > 1
        changed = is_playing != self._timer.isActive()
        if is_playing:
            self._timer.start()
        else:
            self._timer.stop()
        self.play_button.setChecked(is_playing)
        if changed:
            theme.set_icon(self.play_button, "pause" if is_playing else "play")
            self.play_button.setAccessibleName("Pause" if is_playing else "Play the stages")
            self.playingChanged.emit(is_playing)

    def clear(self) -> None:
        """Forget all stages."""
        self.set_playing(False)
        self.set_stages([])

    # -- what a caller may ask ---------------------------------------------------------------------------------------

    def stages(self) -> list[StageEntry]:
        """All stages."""
        return list(self._stages)

    def scores(self) -> list[float | None]:
        """Scores of all stages."""
        return list(self._scores)

    def position(self) -> int:
        """Index of the current stage."""
        return self.value()

    def is_playing(self) -> bool:
        """Whether the cine runs."""
        return self._timer.isActive()

    def x_of(self, index: int) -> float:
        """Horizontal place of a stage."""
        area = self._area()
        n_gaps = max(1, len(self._stages) - 1)
        return area.left() + index / n_gaps * area.width() if len(self._stages) > 1 else area.center().x()

    def index_at(self, x: float) -> int:
        """Stage nearest to a horizontal place."""
        area = self._area()
        share = (x - area.left()) / max(1.0, area.width())
        return min(max(round(share * (len(self._stages) - 1)), 0), max(0, len(self._stages) - 1))

    def sizeHint(self) -> QSize:
        """Room for the line, the ticks and the names."""
        return QSize(640, 116)

    # -- events -----------------------------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Go to the stage under the cursor."""
        if event.button() == Qt.MouseButton.LeftButton and self._stages and event.position().x() >= _CONTROLS_WIDTH:
            self.set_playing(False)
            self.setSliderDown(True)
            self.setValue(self._nearest(self.index_at(event.position().x())))
        event.accept()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Drag the position, or tell the value under the cursor."""
        if self.isSliderDown():
            self.setValue(self._nearest(self.index_at(event.position().x())))
        is_over = self._stages and event.position().x() >= self._area().left() - 8
        self._set_hover(self.index_at(event.position().x()) if is_over else None)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """End the drag."""
        self.setSliderDown(False)
        event.accept()

    def leaveEvent(self, event: QEvent) -> None:
        """Forget the hovered stage."""
        self._set_hover(None)
        super().leaveEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Step by one stage."""
        delta = event.angleDelta().y() or event.angleDelta().x()
        if delta:
            self.set_playing(False)
            self.setValue(self._beyond(self.value() + (1 if delta > 0 else -1)))
        event.accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Play with Space; the arrow, Page, Home and End keys are those of every slider."""
        if event.key() == Qt.Key.Key_Space:
            self.set_playing(not self.is_playing())
        else:
            super().keyPressEvent(event)

    def hideEvent(self, event: QHideEvent) -> None:
        """Stop the cine when nobody sees it."""
        self.set_playing(False)
        super().hideEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        """Repaint in the colours of a new theme."""
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.FontChange, QEvent.Type.EnabledChange):
            self.update()
        super().changeEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Place the controls at the left."""
        super().resizeEvent(event)
        # Of one size, and together as high as the line beside them.
        size = QSize(_CONTROLS_WIDTH - theme.GAP - theme.SPACE, self.rate.sizeHint().height())
        middle = round(0.5 * (self._area().top() + self._track_y()))
        top = max(0, middle - size.height() - theme.SPACE // 2)
        self.play_button.setGeometry(QRect(QPoint(theme.SPACE, top), size))
        self.rate.setGeometry(QRect(QPoint(theme.SPACE, top + size.height() + theme.SPACE), size))

    # -- painting ---------------------------------------------------------------------------------------------------

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint bands, line, ticks and position."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(theme.small_font(self.font()))
        if not self._stages:
            painter.setPen(QColor(theme.colours().muted))
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, self._message)
        else:
            self._paint_modules(painter)
            self._paint_scores(painter)
            self._paint_position(painter)
        if self.hasFocus():
            painter.setPen(QPen(QColor(theme.colours().accent), 1.5))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(_CONTROLS_WIDTH - 3, 1, -1, -1), 4, 4)
        painter.end()

    def _area(self) -> QRectF:
        """Where the line is drawn."""
        text = QFontMetrics(theme.small_font(self.font())).height()
        left, top = _CONTROLS_WIDTH + _AXIS_WIDTH, text + 6
        bottom = 2 * text - 2 + _KNOB * 2
        return QRectF(left, top, max(1, self.width() - left - 22), max(8, self.height() - top - bottom))

    def _track_y(self) -> float:
        return self._area().bottom() + _KNOB + 3

    def _groups(self) -> list[tuple[str, int, int]]:
        """Runs of stages of the same module: name, first and last index."""
        groups: list[tuple[str, int, int]] = []
        for index, stage in enumerate(self._stages):
            if groups and groups[-1][0] == stage.module:
                groups[-1] = (stage.module, groups[-1][1], index)
            else:
                groups.append((stage.module, index, index))
        return groups

    def _paint_modules(self, painter: QPainter) -> None:
        colours = theme.colours()
        area, metrics = self._area(), painter.fontMetrics()
        half = 0.5 * area.width() / max(1, len(self._stages) - 1)
        last_right = float(_CONTROLS_WIDTH)
        for number, (name, first, last) in enumerate(self._groups()):
            left = max(self.x_of(first) - half, area.left() - 14)
            right = min(self.x_of(last) + half, area.right() + 14)
            if number % 2:
                band = QColor(colours.raised)
                band.setAlphaF(0.65)
                painter.fillRect(QRectF(left, area.top() - 2, right - left, self._track_y() - area.top() + 8), band)
            is_current = first <= self.value() <= last
            painter.setPen(QColor(colours.text if is_current else colours.muted))
            width = metrics.horizontalAdvance(name)
            start = self._name_start(first, last, width)
            if start >= last_right + 4:
                painter.drawText(QPointF(start, self.height() - metrics.descent() - 3), name)
                last_right = start + width
        track = self._track_y()
        painter.setPen(QPen(QColor(colours.line), 1.5))
        painter.drawLine(QPointF(self.x_of(0), track), QPointF(self.x_of(len(self._stages) - 1), track))
        ends = {last for _, _, last in self._groups()}
        for index in range(len(self._stages)):
            if index in self._lacking:
                continue
            height = 4.0 if index in ends else 2.5
            painter.setPen(QPen(QColor(colours.muted), 1.5 if index in ends else 1.0))
            painter.drawLine(QPointF(self.x_of(index), track - height), QPointF(self.x_of(index), track + height))

    def _name_start(self, first: int, last: int, width: int) -> float:
        """Where the name of a module begins: in the middle of its stages, but never out of the widget."""
        middle = 0.5 * (self.x_of(first) + self.x_of(last))
        return min(max(middle - 0.5 * width, _CONTROLS_WIDTH + 2), self.width() - width - 2)

    def _paint_scores(self, painter: QPainter) -> None:
        colours = theme.colours()
        area = self._area()
        known = [(index, score) for index, score in enumerate(self._scores) if score is not None]
        if not known:
            painter.setPen(QColor(colours.muted))
            text = f"no reference, so no {self._score_name}"
            painter.drawText(area, int(Qt.AlignmentFlag.AlignCenter), text)
            return
        low, high = min(score for _, score in known), max(score for _, score in known)
        middle, extent = 0.5 * (low + high), max(high - low, 0.2)
        low, high = middle - 0.5 * extent, middle + 0.5 * extent
        painter.setPen(QPen(QColor(colours.line), 1, Qt.PenStyle.DotLine))
        for y in (area.top(), area.bottom()):
            painter.drawLine(QPointF(area.left() - 6, y), QPointF(area.right() + 6, y))
        painter.setPen(QColor(colours.muted))
        flags = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        for y, score in ((area.top(), high), (area.bottom(), low)):
            painter.drawText(QRectF(_CONTROLS_WIDTH, y - 8, _AXIS_WIDTH - 18, 16), flags, f"{score:.1f}")
        if self._unit and area.height() > 3 * painter.fontMetrics().height():
            painter.drawText(QRectF(_CONTROLS_WIDTH, area.center().y() - 8, _AXIS_WIDTH - 18, 16), flags, self._unit)

        def point(index: int, score: float) -> QPointF:
            return QPointF(self.x_of(index), area.bottom() - (score - low) / extent * area.height())

        painter.setPen(QPen(QColor(colours.accent), 1.6))
        run: list[QPointF] = []
        for index, reached in enumerate([*self._scores, None]):
            if reached is not None:
                run.append(point(index, reached))
                continue
            if len(run) > 1:
                painter.drawPolyline(QPolygonF(run))
            run = []
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(colours.accent))
        for index, score in known:
            radius = 1.0 if index in self._lacking else 2.0
            painter.drawEllipse(point(index, score), radius, radius)

    def _paint_position(self, painter: QPainter) -> None:
        colours = theme.colours()
        area, metrics = self._area(), painter.fontMetrics()
        index = min(self.value(), len(self._stages) - 1)
        x, track = self.x_of(index), self._track_y()
        if self._hover is not None and self._hover != index:
            painter.setPen(QPen(QColor(colours.muted), 1, Qt.PenStyle.DotLine))
            painter.drawLine(QPointF(self.x_of(self._hover), area.top()), QPointF(self.x_of(self._hover), track))
        painter.setPen(QPen(QColor(colours.text), 1.2))
        painter.drawLine(QPointF(x, area.top() - 2), QPointF(x, track))
        painter.setBrush(QColor(colours.accent))
        painter.setPen(QPen(QColor(colours.window), 1.5))
        painter.drawEllipse(QPointF(x, track), _KNOB, _KNOB)
        shown = index if self._hover is None else self._hover
        score = self._scores[shown]
        text = self._stages[shown].title
        if score is not None:
            text += f"   {self._score_name} {score:.2f} {self._unit}".rstrip()
        width = metrics.horizontalAdvance(text)
        start = min(max(self.x_of(shown) - 0.5 * width, _CONTROLS_WIDTH + 4), self.width() - width - 6)
        painter.setPen(QColor(colours.text))
        painter.drawText(QPointF(start, metrics.ascent() + 2), text)

    # -- helpers ----------------------------------------------------------------------------------------------------

    def _update_state(self) -> None:
        self._is_silent = True
        try:
            self.setRange(0, max(0, len(self._stages) - 1))
        finally:
            self._is_silent = False
        for control in (self.play_button, self.rate):
            control.setVisible(len(self._stages) > 1)
        if len(self._stages) < 2:
            self.set_playing(False)
        self._describe()
        self.update()

    def _value_changed(self, value: int) -> None:
        self._describe()
        self.update()
        if not self._is_silent and self._stages:
            self.positionChanged.emit(value)

    def _describe(self) -> None:
        if not self._stages:
            self.setAccessibleDescription(self._message)
            return
        index = min(self.value(), len(self._stages) - 1)
        score = self._scores[index]
        told = "" if score is None else f", {self._score_name} {score:.2f} {self._unit}"
        self.setAccessibleDescription(f"{self._stages[index].title}, {index + 1} of {len(self._stages)}{told}")

    def _set_hover(self, index: int | None) -> None:
        if index != self._hover:
            self._hover = index
            self.update()

    def _next_frame(self) -> None:
        following = self.value() + 1
        self.setValue(self._beyond(following) if following < len(self._stages) else self._nearest(0))

    def _nearest(self, index: int) -> int:
        """The stage with an image that is nearest to a stage."""
        having = (place for place in range(len(self._stages)) if place not in self._lacking)
        return min(having, key=lambda place: abs(place - index), default=index)

    def _beyond(self, index: int) -> int:
        """The first stage with an image from a stage on, away from the present one, which stays if there is none."""
        way = range(index, len(self._stages)) if index > self.value() else range(index, -1, -1)
        return next((place for place in way if place not in self._lacking), self.value())
