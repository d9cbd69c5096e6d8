"""One image well: an image, where it is looked at, and what lies on top of it.

The image is painted by Qt's raster engine from packed colours. Next to a pyqtgraph view this links exactly (all wells
share one `View`), leaves the mouse to us and needs no import of half a second before the window can be shown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QEvent, QPoint, QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from app import theme
from app.views import annotation, levels
from app.views.layer import Layer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from app.views.layer import Wipe
    from app.views.region import Region

_MAXIMUM_ZOOM = 40.0


@dataclass(frozen=True)
class View:
    """What part of an image is seen: the same object for all linked wells.

    Attributes
    ----------
    zoom
        1 fits the whole image into the well.
    x, y
        Point of the image at the centre of the well, as shares of its width and height.
    """

    zoom: float = 1.0
    x: float = 0.5
    y: float = 0.5

    def zoomed(self, factor: float, x: float = 0.5, y: float = 0.5) -> View:
        """View magnified by ``factor`` with the point (x, y) of the image held in place."""
        zoom = min(max(self.zoom * factor, 0.25), _MAXIMUM_ZOOM)
        kept = self.zoom / zoom
        return replace(self, zoom=zoom, x=x + (self.x - x) * kept, y=y + (self.y - y) * kept).bounded()

    def moved(self, right: float, down: float) -> View:
        """View after the image was dragged by shares of its own width and height."""
        return replace(self, x=self.x - right, y=self.y - down).bounded()

    def bounded(self) -> View:
        """View whose centre lies on the image, so that the image cannot be lost."""
        return replace(self, x=min(max(self.x, 0.0), 1.0), y=min(max(self.y, 0.0), 1.0))


FIT = View()


class ImageCanvas(QWidget):
    """Paints one image; holds no state of the session.

    Setters: `set_image`, `set_levels`, `set_table`, `set_view`, `set_flip`, `set_pixel_aspect`, `set_crosshair`,
    `set_region`, `set_wipe`, `set_box`, `set_message`, `set_note`, `set_annotation`. Geometry: `pixel_at`, `share_at`,
    `position_of`.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(24, 24)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self._image: NDArray[np.float32] | None = None
        self._limits: levels.Limits = (0.0, 1.0)
        self._table = levels.packed(levels.gray_table())
        self._view = FIT
        self._is_flipped = False
        self._pixel_aspect = 1.0
        self._crosshair: tuple[int, int] | None = None
        self._region: Region | None = None
        self._box: QRect | None = None
        self._message = ""
        self._note = ""
        self._annotation: annotation.Annotation | None = None
        self._layer = Layer()
        self._wipe: Wipe | None = None
        self._wiped = Layer()

    # -- setters ---------------------------------------------------------------------------------------------------

    def set_image(self, image: NDArray[np.floating] | None) -> None:
        """Show an image ``(y, x)``, or nothing; zoom and levels stay as they are."""
        if image is not None and image.ndim != 2:
            raise ValueError(f"an image has two axes, this array has the shape {image.shape}")
        self._image = None if image is None else np.asarray(image, dtype=np.float32)
        self._invalidate()

    def set_levels(self, low: float, high: float) -> None:
        """Set the values shown as the first and the last colour."""
        if (low, high) != self._limits:
            self._limits = (low, high)
            self._invalidate()

    def set_table(self, table: NDArray[np.uint32]) -> None:
        """Set the 256 colours, as `levels.packed` makes them."""
        if table is not self._table:
            self._table = table
            self._invalidate()

    def set_view(self, view: View) -> None:
        """Look at another part of the image."""
        if view != self._view:
            self._view = view
            self.update()

    def set_flip(self, is_flipped: bool) -> None:
        """Show the image upside down; coordinates handed out stay those of the array."""
        if is_flipped != self._is_flipped:
            self._is_flipped = is_flipped
            self._invalidate()

    def set_pixel_aspect(self, height_per_width: float) -> None:
        """Set the height of a voxel divided by its width."""
        self._pixel_aspect = height_per_width if height_per_width > 0 else 1.0
        self.update()

    def set_crosshair(self, pixel: tuple[int, int] | None) -> None:
        """Show the crosshair at an array element (x, y), or none."""
        if pixel != self._crosshair:
            self._crosshair = pixel
            self.update()

    def set_region(self, region: Region | None) -> None:
        """Frame voxels of the array, or none."""
        if region != self._region:
            self._region = region
            self.update()

    def set_wipe(self, wipe: Wipe | None) -> None:
        """Lay another image over the left part of this one, or none; one of another shape, or itself, is not shown."""
        if wipe is not self._wipe:
            if wipe is not None and (self._wipe is None or wipe.image is not self._wipe.image):
                self._wiped.invalidate()
            self._wipe = wipe
            self.update()

    def set_box(self, box: QRect | None) -> None:
        """Show a rubber band in widget coordinates, or none."""
        if box != self._box:
            self._box = box
            self.update()

    def set_message(self, text: str) -> None:
        """Say why there is no image; shown only while there is none."""
        if text != self._message:
            self._message = text
            self.update()

    def set_note(self, text: str) -> None:
        """Write a short note into the lower left corner of the well."""
        if text != self._note:
            self._note = text
            self.update()

    def set_annotation(self, about: annotation.Annotation | None) -> None:
        """Write sides and scale onto the image, or nothing."""
        if about != self._annotation:
            self._annotation = about
            self.update()

    # -- what is shown ----------------------------------------------------------------------------------------------

    @property
    def image(self) -> NDArray[np.float32] | None:
        """Image shown, as it came in."""
        return self._image

    @property
    def view(self) -> View:
        """Part of the image that is seen."""
        return self._view

    @property
    def is_flipped(self) -> bool:
        """Whether the image is shown upside down."""
        return self._is_flipped

    @property
    def message(self) -> str:
        """Message shown in place of an image."""
        return self._message

    @property
    def crosshair(self) -> tuple[int, int] | None:
        """Array element (x, y) under the crosshair."""
        return self._crosshair

    @property
    def limits(self) -> levels.Limits:
        """Values shown as the first and the last colour."""
        return self._limits

    def value_at(self, x: int, y: int) -> float | None:
        """Value of the array element (x, y), None outside."""
        if self._image is None or not (0 <= y < self._image.shape[0] and 0 <= x < self._image.shape[1]):
            return None
        return float(self._image[y, x])

    # -- geometry ---------------------------------------------------------------------------------------------------

    def scale(self) -> float:
        """Screen pixels per voxel along x."""
        return self.fit_scale(self.width(), self.height()) * self._view.zoom

    def fit_scale(self, well_width: int, well_height: int) -> float:
        """Screen pixels per voxel at which the whole image fits a well of some size."""
        if self._image is None:
            return 1.0
        height, width = self._image.shape
        return min(well_width / width, well_height / (height * self._pixel_aspect))

    def target(self) -> QRectF:
        """Rectangle of the whole image in widget coordinates, of which the well may show a part."""
        if self._image is None:
            return QRectF()
        scale = self.scale()
        height, width = self._image.shape
        shown_width, shown_height = width * scale, height * scale * self._pixel_aspect
        left = 0.5 * self.width() - self._view.x * shown_width
        top = 0.5 * self.height() - self._view.y * shown_height
        return QRectF(left, top, shown_width, shown_height)

    def share_at(self, position: QPointF) -> tuple[float, float]:
        """Point of the shown image under a position, as shares of its width and height (unflipped, unbounded)."""
        target = self.target()
        if target.isEmpty():
            return 0.5, 0.5
        return (position.x() - target.left()) / target.width(), (position.y() - target.top()) / target.height()

    def pixel_at(self, position: QPointF) -> tuple[int, int] | None:
        """Array element (x, y) under a position, None beside the image."""
        if self._image is None:
            return None
        height, width = self._image.shape
        share_x, share_y = self.share_at(position)
        x, y = math.floor(share_x * width), math.floor(share_y * height)
        if not (0 <= x < width and 0 <= y < height):
            return None
        return x, height - 1 - y if self._is_flipped else y

    def nearest_pixel(self, position: QPointF) -> tuple[int, int] | None:
        """Array element (x, y) that is nearest to a position, also beside the image; None without one."""
        target = self.target()
        if self._image is None or target.isEmpty():
            return None
        inside = QPointF(
            min(max(position.x(), target.left()), target.right() - 1e-6 * target.width()),
            min(max(position.y(), target.top()), target.bottom() - 1e-6 * target.height()),
        )
        return self.pixel_at(inside)

    def position_of(self, x: int, y: int) -> QPointF:
        """Position of the centre of the array element (x, y)."""
        target = self.target()
        if self._image is None or target.isEmpty():
            return QPointF(self.rect().center())
        height, width = self._image.shape
        row = height - 1 - y if self._is_flipped else y
        return QPointF(
            target.left() + (x + 0.5) / width * target.width(), target.top() + (row + 0.5) / height * target.height()
        )

    def pixels_in(self, box: QRect) -> NDArray[np.float32] | None:
        """Values of the array inside a rectangle of the widget, None if it misses the image."""
        if self._image is None:
            return None
        height, width = self._image.shape
        left, top = self.share_at(QPointF(box.topLeft()))
        right, bottom = self.share_at(QPointF(box.bottomRight()))
        columns = slice(max(0, math.floor(left * width)), max(0, min(width, math.ceil(right * width))))
        shown = self._image[::-1] if self._is_flipped else self._image
        rows = slice(max(0, math.floor(top * height)), max(0, min(height, math.ceil(bottom * height))))
        values = shown[rows, columns]
        return values if values.size else None

    def content_box(self) -> tuple[float, float, float, float] | None:
        """Left, top, right and bottom of what is brighter than air, as shares of the shown image; None without one."""
        if self._image is None:
            return None
        shown = self._image[::-1] if self._is_flipped else self._image
        values = np.where(np.isfinite(shown), shown, 0.0)
        peak = float(np.percentile(values, 99.5))
        # A row belongs to the body when a twentieth of it is bright: aliasing ghosts are fainter, spikes are rarer.
        is_bright = values > 0.2 * peak
        columns = np.flatnonzero(is_bright.mean(axis=0) > 0.05)
        rows = np.flatnonzero(is_bright.mean(axis=1) > 0.05)
        if peak <= 0 or not len(columns) or not len(rows):
            return None
        height, width = values.shape
        left, right = columns[0] / width, (columns[-1] + 1) / width
        top, bottom = rows[0] / height, (rows[-1] + 1) / height
        return left - 0.03, top - 0.03, right + 0.03, bottom + 0.03

    def view_of(self, box: tuple[float, float, float, float]) -> View:
        """View that shows a box, given as shares of the image, as large as the well allows."""
        left, top, right, bottom = box
        whole = self.target()
        if whole.isEmpty():
            return FIT
        whole_width, whole_height = whole.width() / self._view.zoom, whole.height() / self._view.zoom
        zoom = min(self.width() / (whole_width * (right - left)), self.height() / (whole_height * (bottom - top)))
        return View(min(max(zoom, 1.0), _MAXIMUM_ZOOM), 0.5 * (left + right), 0.5 * (top + bottom)).bounded()

    def wipe_end(self) -> int | None:
        """Where the left part ends that shows another image, in pixels of the widget; None while none does."""
        wipe = self._wipe
        if wipe is None or self._image is None or wipe.image is self._image or wipe.image.shape != self._image.shape:
            return None
        return round(wipe.share * self.width())

    # -- painting ---------------------------------------------------------------------------------------------------

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the well."""
        colours = theme.colours()
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(colours.well))
        if self._image is None:
            self._paint_message(painter)
        else:
            self._paint_image(painter, self._image, self._layer)
            self._paint_wipe(painter)
            self._paint_region(painter)
            self._paint_crosshair(painter)
        painter.setFont(theme.small_font(self.font()))
        if self._annotation is not None and self._image is not None:
            annotation.paint(painter, self.rect(), self._annotation, self.scale(), self._paint_text)
        if self._note:
            flags = int(Qt.AlignmentFlag.AlignBottom | Qt.AlignmentFlag.AlignLeft)
            self._paint_text(
                painter, painter.boundingRect(self.rect().adjusted(5, 0, -5, -3), flags, self._note), self._note
            )
        if self._box is not None:
            painter.setPen(QPen(QColor(colours.well_accent), 1, Qt.PenStyle.DashLine))
            painter.drawRect(self._box)
        painter.end()

    def _paint_image(self, painter: QPainter, image: NDArray[np.float32], layer: Layer) -> None:
        picture, target = (
            layer.fill(image[::-1] if self._is_flipped else image, self._limits, self._table),
            self.target(),
        )
        seen = target.intersected(QRectF(self.rect()))
        if seen.isEmpty():
            return
        across, down = picture.width() / target.width(), picture.height() / target.height()
        # Whole voxels around what is seen: fractions at the border would shift the picture while panning.
        left, top = math.floor((seen.left() - target.left()) * across), math.floor((seen.top() - target.top()) * down)
        right = min(picture.width(), math.ceil((seen.right() - target.left()) * across))
        bottom = min(picture.height(), math.ceil((seen.bottom() - target.top()) * down))
        ratio = self.devicePixelRatioF()
        x0, x1 = (round((target.left() + column / across) * ratio) for column in (left, right))
        y0, y1 = (round((target.top() + row / down) * ratio) for row in (top, bottom))
        part = QRect(left, top, right - left, bottom - top)
        shown = layer.scaled(part, max(1, x1 - x0), max(1, y1 - y0), ratio)
        painter.drawImage(QPointF(x0 / ratio, y0 / ratio), shown)

    def _paint_wipe(self, painter: QPainter) -> None:
        end = self.wipe_end()
        if self._wipe is None or end is None:
            return
        painter.save()
        painter.setClipRect(QRect(0, 0, end, self.height()))
        painter.fillRect(0, 0, end, self.height(), QColor(theme.colours().well))
        self._paint_image(painter, self._wipe.image, self._wiped)
        painter.restore()
        for colour, width in ((QColor(0, 0, 0, 150), 3), (QColor(theme.colours().well_accent), 1)):
            painter.fillRect(end - width // 2, 0, width, self.height(), colour)
        painter.setFont(theme.small_font(self.font()))
        place = painter.boundingRect(QRect(0, 3, end - 8, self.height()), Qt.AlignmentFlag.AlignRight, self._wipe.title)
        if place.left() >= 4:
            self._paint_text(painter, place, self._wipe.title)

    def _paint_text(self, painter: QPainter, place: QRect, text: str) -> None:
        # Read on the bright skin of a magnified head, too.
        ground = QColor(theme.colours().well)
        ground.setAlphaF(0.7)
        painter.fillRect(place.adjusted(-3, -1, 3, 1), ground)
        painter.setPen(QColor(theme.colours().well_muted))
        painter.drawText(place, Qt.AlignmentFlag.AlignCenter, text)

    def _paint_message(self, painter: QPainter) -> None:
        painter.setPen(QColor(theme.colours().well_muted))
        painter.setFont(theme.small_font(self.font()))
        flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
        painter.drawText(QRectF(self.rect()).adjusted(6, 6, -6, -6), int(flags), self._message)

    def _paint_crosshair(self, painter: QPainter) -> None:
        if self._crosshair is None:
            return
        centre = self.position_of(*self._crosshair)
        arm = min(12.0, min(self.width(), self.height()) / 14)
        gap = 0.4 * arm
        # A dark line under a light one is seen on any grey; the gap leaves the voxel itself free.
        for colour, width in ((QColor(0, 0, 0, 150), 3.0), (QColor(theme.colours().well_accent), 1.0)):
            painter.setPen(QPen(colour, width, Qt.PenStyle.SolidLine, Qt.PenCapStyle.FlatCap))
            for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
                painter.drawLine(
                    QPointF(centre.x() + dx * gap, centre.y() + dy * gap),
                    QPointF(centre.x() + dx * (gap + arm), centre.y() + dy * (gap + arm)),
                )

    def _paint_region(self, painter: QPainter) -> None:
        if self._region is None:
            return
        left, top, right, bottom = self._region
        first, last = self.position_of(left, top), self.position_of(right - 1, bottom - 1)
        half = QPointF(0.5 * self.scale(), 0.5 * self.scale() * self._pixel_aspect)
        frame = QRectF(first, last).normalized()
        frame = QRectF(frame.topLeft() - half, frame.bottomRight() + half)
        for colour, width in ((QColor(0, 0, 0, 150), 3.0), (QColor(theme.colours().well_accent), 1.0)):
            painter.setPen(QPen(colour, width))
            painter.drawRect(frame)

    def _invalidate(self) -> None:
        self._layer.invalidate()
        self._wiped.invalidate()
        self.update()

    def changeEvent(self, event: QEvent) -> None:
        """Repaint in the colours of a new theme."""
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.FontChange):
            self.update()
        super().changeEvent(event)

    def global_centre(self) -> QPoint:
        """Centre of the well on the screen, where a menu opened by a key appears."""
        return self.mapToGlobal(self.rect().center())
