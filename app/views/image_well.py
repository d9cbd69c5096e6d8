"""An image canvas with a mouse: gestures become signals, and whoever links the wells answers them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QEvent, QPoint, QPointF, QRect, Qt, QTimer, Signal
from PySide6.QtGui import (
    QColor,
    QContextMenuEvent,
    QFocusEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QWheelEvent,
)
from PySide6.QtWidgets import QApplication, QWidget

from app import theme
from app.views import levels
from app.views.image_canvas import ImageCanvas, View
from app.views.region import Region

_CLICK_PIXELS = 4
"""A right press that moves less than this is a click."""
_GRIP_PIXELS = 5
"""So near to the line of the wipe it can be taken hold of."""
_FULL_DRAG_PIXELS = 300.0
_WHEEL_NOTCH = 120
_ZOOM_PER_NOTCH = 1.2
_MENU_DELAY_MS = 220
"""The menu waits for a possible second click; longer feels dead, shorter makes double clicks hard."""


@dataclass(frozen=True)
class _Drag:
    """A gesture in progress: what it does and where it began."""

    kind: str
    start: QPoint
    view: View
    limits: levels.Limits
    span: float


class ImageWell(ImageCanvas):
    """Image canvas that reports gestures and changes nothing by itself.

    ==========================  ===============================================
    left click or drag          ``probed(x, y)``; beside the image ``probeLeft()``
    middle or Space+left drag   ``viewChanged(View)``: pan
    Ctrl+wheel                  ``viewChanged(View)``: zoom at the cursor
    right drag                  ``levelsDragged(low, high)``
    Ctrl+left drag              ``levelsDragged(low, high)`` for the box
    left drag of the wipe       ``wipeMoved(share)`` of the width of the well
    Shift+left drag             ``regionDrawn(Region)``; Shift+click ``regionDrawn(None)``
    right click, Menu key       ``menuRequested(global position)``
    double right click          ``levelsReset()``
    double click, Return        ``activated()``
    wheel, Page keys            ``sliceStep(n)``, up is positive
    Shift+wheel                 ``iterationStep(n)``
    Alt+wheel                   ``coilStep(n)``
    Ctrl+arrow                  ``probed`` at the neighbouring voxel
    Delete                      ``probeLeft()``, ``regionDrawn(None)``
    ==========================  ===============================================
    """

    probed = Signal(int, int)
    probeLeft = Signal()
    regionDrawn = Signal(object)
    wipeMoved = Signal(float)
    viewChanged = Signal(object)
    levelsDragged = Signal(float, float)
    levelsReset = Signal()
    menuRequested = Signal(QPoint)
    activated = Signal()
    sliceStep = Signal(int)
    iterationStep = Signal(int)
    coilStep = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.CrossCursor)
        self.setMouseTracking(True)
        self._drag: _Drag | None = None
        self._is_space_down = False
        self._wheel: dict[str, int] = {}
        self._menu_position = QPoint()
        self._menu_timer = QTimer(self)
        self._menu_timer.setSingleShot(True)
        self._menu_timer.setInterval(min(_MENU_DELAY_MS, QApplication.doubleClickInterval()))
        self._menu_timer.timeout.connect(self._request_menu)

    # -- mouse ------------------------------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin a gesture."""
        button = event.button()
        has_control = bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
        has_shift = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        if button == Qt.MouseButton.MiddleButton or (button == Qt.MouseButton.LeftButton and self._is_space_down):
            self._begin("pan", event)
            self.setCursor(Qt.CursorShape.ClosedHandCursor)
        elif button == Qt.MouseButton.LeftButton and has_control:
            self._begin("box", event)
        elif button == Qt.MouseButton.LeftButton and has_shift:
            self._begin("region", event)
            self.regionDrawn.emit(None)
        elif button == Qt.MouseButton.LeftButton and self._is_at_wipe(event.position()):
            self._begin("wipe", event)
        elif button == Qt.MouseButton.LeftButton:
            self._begin("probe", event)
            self._probe(event.position())
        elif button == Qt.MouseButton.RightButton:
            self._menu_timer.stop()
            self._begin("window", event)
        event.accept()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Continue a gesture, or show that the line of the wipe can be dragged."""
        if self._drag is None:
            self._show_cursor(event.position())
            return
        delta = event.position().toPoint() - self._drag.start
        if self._drag.kind == "probe":
            self._probe(event.position())
        elif self._drag.kind == "wipe":
            self.wipeMoved.emit(min(max(event.position().x() / max(1, self.width()), 0.0), 1.0))
        elif self._drag.kind == "pan":
            target = self.target()
            if not target.isEmpty():
                right, down = delta.x() / target.width(), delta.y() / target.height()
                self.viewChanged.emit(self._drag.view.moved(right, down))
        elif self._drag.kind == "region":
            self._draw_region(event.position())
        elif self._drag.kind == "box":
            self.set_box(QRect(self._drag.start, event.position().toPoint()).normalized())
        elif delta.manhattanLength() >= _CLICK_PIXELS or self._drag.kind == "windowing":
            self._drag = _Drag("windowing", self._drag.start, self._drag.view, self._drag.limits, self._drag.span)
            right, up = delta.x() / _FULL_DRAG_PIXELS, -delta.y() / _FULL_DRAG_PIXELS
            self.levelsDragged.emit(*levels.widened(self._drag.limits, right, up, self._drag.span))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """End a gesture."""
        drag, self._drag = self._drag, None
        self._show_cursor(event.position())
        if drag is None:
            return
        if drag.kind == "box":
            self.set_box(None)
            box = QRect(drag.start, event.position().toPoint()).normalized()
            values = self.pixels_in(box) if min(box.width(), box.height()) >= _CLICK_PIXELS else None
            if values is not None:
                self.levelsDragged.emit(*levels.Percentile().limits(values))
        elif drag.kind == "window":
            self._menu_position = event.globalPosition().toPoint()
            self._menu_timer.start()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Maximise with the left button, reset the levels with the right one."""
        self._drag = None
        if event.button() == Qt.MouseButton.LeftButton and not self._is_space_down:
            self.activated.emit()
        elif event.button() == Qt.MouseButton.RightButton:
            self._menu_timer.stop()
            self.levelsReset.emit()
        else:
            self.mousePressEvent(event)
        event.accept()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Step through slices, iterations or coils, or zoom."""
        modifiers = event.modifiers()
        # Some platforms turn the wheel sideways while Alt or Shift is held.
        delta = event.angleDelta().y() or event.angleDelta().x()
        if modifiers & Qt.KeyboardModifier.ControlModifier:
            x, y = self.share_at(event.position())
            self.viewChanged.emit(self.view.zoomed(_ZOOM_PER_NOTCH ** (delta / _WHEEL_NOTCH), x, y))
        elif modifiers & Qt.KeyboardModifier.ShiftModifier:
            self._step("iteration", delta)
        elif modifiers & Qt.KeyboardModifier.AltModifier:
            self._step("coil", delta)
        else:
            self._step("slice", delta)
        event.accept()

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Open the menu by key; the mouse's is decided at the release of the button."""
        if event.reason() == QContextMenuEvent.Reason.Keyboard:
            self.menuRequested.emit(self.global_centre())
        event.accept()

    # -- keys -------------------------------------------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move the crosshair, page through slices, maximise, or get ready to pan."""
        key = event.key()
        arrows = {
            Qt.Key.Key_Left: (-1, 0),
            Qt.Key.Key_Right: (1, 0),
            Qt.Key.Key_Up: (0, -1),
            Qt.Key.Key_Down: (0, 1),
        }
        if key == Qt.Key.Key_Space:
            if not event.isAutoRepeat():
                self._is_space_down = True
                self._show_cursor()
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.activated.emit()
        elif key in (Qt.Key.Key_PageUp, Qt.Key.Key_PageDown):
            self.sliceStep.emit(5 if key == Qt.Key.Key_PageUp else -5)
        elif key in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.probeLeft.emit()
            self.regionDrawn.emit(None)
        elif key in arrows and event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self._move_crosshair(*arrows[Qt.Key(key)])
        else:
            super().keyPressEvent(event)

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        """Put the hand away."""
        if event.key() == Qt.Key.Key_Space and not event.isAutoRepeat():
            self._is_space_down = False
            self._show_cursor()
        else:
            super().keyReleaseEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Show the focus ring."""
        super().focusInEvent(event)
        self.update()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Hide the focus ring; a release of Space elsewhere would not be seen."""
        super().focusOutEvent(event)
        self._is_space_down = False
        self._show_cursor()
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the well, and the focus ring above it."""
        super().paintEvent(event)
        if self.hasFocus():
            painter = QPainter(self)
            painter.setPen(QPen(QColor(theme.colours().well_accent), 2))
            painter.drawRect(self.rect().adjusted(1, 1, -1, -1))
            painter.end()

    def hideEvent(self, event: QEvent) -> None:
        """Drop a menu that waits for a second click."""
        self._menu_timer.stop()
        super().hideEvent(event)  # type: ignore[arg-type]

    # -- helpers ----------------------------------------------------------------------------------------------------

    def _begin(self, kind: str, event: QMouseEvent) -> None:
        span = 1.0
        if self.image is not None and self.image.size:
            span = float(np.max(np.abs(self.image), where=np.isfinite(self.image), initial=0.0)) or 1.0
        self._drag = _Drag(kind, event.position().toPoint(), self.view, self.limits, span)

    def _probe(self, position: QPointF) -> None:
        pixel = self.pixel_at(position)
        if pixel is None:
            self.probeLeft.emit()
        else:
            self.probed.emit(*pixel)

    def _draw_region(self, position: QPointF) -> None:
        assert self._drag is not None
        if (position.toPoint() - self._drag.start).manhattanLength() < _CLICK_PIXELS:
            return
        corners = [self.nearest_pixel(QPointF(self._drag.start)), self.nearest_pixel(position)]
        if corners[0] is not None and corners[1] is not None:
            self.regionDrawn.emit(Region.between(corners[0], corners[1]))

    def _move_crosshair(self, right: int, down: int) -> None:
        if self.image is None:
            return
        height, width = self.image.shape
        x, y = self.crosshair or (width // 2, height // 2)
        x, y = x + right, y - down if self.is_flipped else y + down
        self.probed.emit(min(max(x, 0), width - 1), min(max(y, 0), height - 1))

    def _step(self, what: str, delta: int) -> None:
        """Collect the small deltas of touch pads until they make a notch."""
        total = self._wheel.get(what, 0) + delta
        steps = int(total / _WHEEL_NOTCH)
        self._wheel[what] = total - steps * _WHEEL_NOTCH
        if steps:
            {"slice": self.sliceStep, "iteration": self.iterationStep, "coil": self.coilStep}[what].emit(steps)

    def _is_at_wipe(self, position: QPointF) -> bool:
        end = self.wipe_end()
        return end is not None and abs(position.x() - end) <= _GRIP_PIXELS

    def _show_cursor(self, position: QPointF | None = None) -> None:
        shape = Qt.CursorShape.OpenHandCursor if self._is_space_down else Qt.CursorShape.CrossCursor
        if position is not None and not self._is_space_down and self._is_at_wipe(position):
            shape = Qt.CursorShape.SplitHCursor
        if shape != self.cursor().shape():
            self.setCursor(shape)

    def _request_menu(self) -> None:
        self.menuRequested.emit(self._menu_position)
