"""All coils of a slice as tiles of one picture: laid out for its shape, numbered, and with what each measured."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRect, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QResizeEvent

from app import theme
from app.views.image_canvas import FIT
from app.views.image_well import ImageWell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PySide6.QtWidgets import QWidget

_GAP = 2
"""Pixels of the screen between tiles that are shown whole."""
_SMALLEST_NUMBERED = 16
_LINES_OF_WRITTEN = 4
"""Height of the tiles that have their shares written on them, in lines of text."""
_INSET = 2


class Spot(NamedTuple):
    """A pixel of a tile: its coil, counted from 0, and where it lies in the array of the tile."""

    coil: int
    x: int
    y: int


@dataclass(frozen=True)
class Arrangement:
    """Where tiles of equal size lie in a picture, row by row.

    Attributes
    ----------
    n_tiles, n_columns
        How many tiles, and how many of them in a row.
    tile
        ``(rows, columns)`` of pixels of a tile.
    gap
        The same between two tiles.
    """

    n_tiles: int
    n_columns: int
    tile: tuple[int, int]
    gap: tuple[int, int] = (0, 0)

    @classmethod
    def fitting(cls, n_tiles: int, tile: tuple[int, int], pixel_aspect: float, room: tuple[int, int]) -> Arrangement:
        """Return the arrangement with the largest tiles, and of two that are alike the one with fewer empty places.

        Parameters
        ----------
        n_tiles, tile
            See the class.
        pixel_aspect
            Height of a pixel divided by its width.
        room
            Width and height of the well on the screen.
        """

        def scale(n_columns: int) -> float:
            n_rows = -(-n_tiles // n_columns)
            across = (room[0] - (n_columns - 1) * _GAP) / (n_columns * tile[1])
            down = (room[1] - (n_rows - 1) * _GAP) / (n_rows * tile[0] * pixel_aspect)
            return max(min(across, down), 1e-6)

        n_columns = max(range(1, n_tiles + 1), key=lambda n: (round(scale(n), 6), -(-n_tiles % n)))
        across = scale(n_columns)
        gap = (max(1, round(_GAP / across / pixel_aspect)), max(1, round(_GAP / across)))
        return cls(n_tiles, n_columns, tile, gap)

    def looks_other(self, other: Arrangement) -> bool:
        """Whether what was magnified of the one lies elsewhere in the other."""
        return (self.n_tiles, self.n_columns, self.tile) != (other.n_tiles, other.n_columns, other.tile)

    @property
    def shape(self) -> tuple[int, int]:
        """``(rows, columns)`` of pixels of the picture."""
        n_rows = -(-self.n_tiles // self.n_columns)
        return tuple(  # type: ignore[return-value]
            n * (size + gap) - gap for n, size, gap in zip((n_rows, self.n_columns), self.tile, self.gap, strict=True)
        )

    def corner(self, coil: int) -> tuple[int, int]:
        """First row and column of a tile."""
        row, column = divmod(coil, self.n_columns)
        return row * (self.tile[0] + self.gap[0]), column * (self.tile[1] + self.gap[1])

    def at(self, x: int, y: int) -> tuple[int, int, int] | None:
        """Coil at a pixel of the picture, and row and column in its tile; None between tiles and where none is."""
        row, y = divmod(y, self.tile[0] + self.gap[0])
        column, x = divmod(x, self.tile[1] + self.gap[1])
        coil = row * self.n_columns + column
        return (coil, y, x) if coil < self.n_tiles and y < self.tile[0] and x < self.tile[1] else None

    def picture(self, tiles: NDArray[np.float32], *, is_flipped: bool) -> NDArray[np.float32]:
        """Return the tiles ``(tile, y, x)`` in their places, NaN around them; flipped, each stands upside down."""
        picture = np.full(self.shape, np.nan, np.float32)
        for coil, tile in enumerate(tiles):
            top, left = self.corner(coil)
            picture[top : top + self.tile[0], left : left + self.tile[1]] = tile[::-1] if is_flipped else tile
        return picture


class CoilMontage(ImageWell):
    """Well with a tile for each coil; one is chosen by a click or with Ctrl and arrows, and has a frame."""

    coilChosen = Signal(int)
    """Coil that the user chose, counted from 0."""
    pointed = Signal(object)
    """`Spot` under the pointer; None beside the tiles."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tiles: NDArray[np.float32] | None = None
        self._shares: Sequence[float] = ()
        self._states: Sequence[str] = ()
        self._is_upside_down = False
        self._coil = 0
        self._arrangement: Arrangement | None = None
        self.viewChanged.connect(self.set_view)
        self.probed.connect(self._choose)
        self.activated.connect(self._enlarge)

    # -- setters ---------------------------------------------------------------------------------------------------

    def set_tiles(
        self, tiles: NDArray[np.float32] | None, shares: Sequence[float] = (), states: Sequence[str] = ()
    ) -> None:
        """Show tiles ``(coil, y, x)``, with their shares of the energy and what is wrong with them; or nothing."""
        self._tiles, self._shares, self._states = tiles, shares, states
        self._arrange(is_new=True)

    def set_upside_down(self, is_upside_down: bool) -> None:
        """Show every tile upside down, as the grid shows its images; their order stays."""
        if is_upside_down != self._is_upside_down:
            self._is_upside_down = is_upside_down
            self._arrange(is_new=True)

    def set_pixel_aspect(self, height_per_width: float) -> None:
        """Set the height of a voxel divided by its width."""
        super().set_pixel_aspect(height_per_width)
        self._arrange()

    def set_coil(self, index: int) -> None:
        """Frame a coil, counted from 0, without telling anybody."""
        if index != self._coil:
            self._coil = index
            self.update()

    # -- what is shown ----------------------------------------------------------------------------------------------

    @property
    def arrangement(self) -> Arrangement | None:
        """Where the tiles lie; None while there are none."""
        return self._arrangement

    @property
    def coil(self) -> int:
        """The coil with the frame, counted from 0."""
        return self._coil

    def spot_at(self, x: int, y: int) -> Spot | None:
        """Return what lies at a pixel of the picture."""
        found = None if self._arrangement is None else self._arrangement.at(x, y)
        if found is None or self._arrangement is None:
            return None
        coil, row, column = found
        return Spot(coil, column, self._arrangement.tile[0] - 1 - row if self._is_upside_down else row)

    def place_of(self, coil: int) -> QRectF:
        """Rectangle of a tile in the widget."""
        if self._arrangement is None:
            return QRectF()
        (rows, columns), whole = self._arrangement.shape, self.target()
        across, down = whole.width() / columns, whole.height() / rows
        top, left = self._arrangement.corner(coil)
        height, width = self._arrangement.tile
        return QRectF(whole.left() + left * across, whole.top() + top * down, width * across, height * down)

    def _arrange(self, *, is_new: bool = False) -> None:
        before, self._arrangement = self._arrangement, None
        if self._tiles is None:
            self.set_image(None)
            return
        n_coils, rows, columns = self._tiles.shape
        room = self.width(), self.height()
        self._arrangement = Arrangement.fitting(n_coils, (rows, columns), self._pixel_aspect, room)
        if is_new or self._arrangement != before:
            self.set_image(self._arrangement.picture(self._tiles, is_flipped=self._is_upside_down))
        if before is not None and before.looks_other(self._arrangement):
            self.set_view(FIT)

    # -- mouse and keys ---------------------------------------------------------------------------------------------

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Tell what is under the pointer."""
        super().mouseMoveEvent(event)
        pixel = self.pixel_at(event.position())
        self.pointed.emit(None if pixel is None else self.spot_at(*pixel))

    def leaveEvent(self, event: QEvent) -> None:
        """Tell that the pointer is gone."""
        super().leaveEvent(event)
        self.pointed.emit(None)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Choose the coil beside the chosen one."""
        n_columns = 1 if self._arrangement is None else self._arrangement.n_columns
        steps = {
            Qt.Key.Key_Left: -1,
            Qt.Key.Key_Right: 1,
            Qt.Key.Key_Up: -n_columns,
            Qt.Key.Key_Down: n_columns,
        }
        if event.key() in steps and event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            coil = self._coil + steps[Qt.Key(event.key())]
            if self._tiles is not None and 0 <= coil < len(self._tiles):
                self.coilChosen.emit(coil)
        else:
            super().keyPressEvent(event)

    def _choose(self, x: int, y: int) -> None:
        spot = self.spot_at(x, y)
        if spot is not None:
            self.coilChosen.emit(spot.coil)
        self.pointed.emit(spot)

    def _enlarge(self) -> None:
        """Let the chosen coil fill the well, or show all again."""
        if self.view != FIT or self._arrangement is None:
            self.set_view(FIT)
            return
        whole, place = self.target(), self.place_of(self._coil)
        left, top = self.share_at(place.topLeft())
        right, bottom = left + place.width() / whole.width(), top + place.height() / whole.height()
        self.set_view(self.view_of((left, top, right, bottom)))

    # -- painting ---------------------------------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Lay the tiles out for the new shape."""
        super().resizeEvent(event)
        self._arrange()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the tiles, and what there is to say about each."""
        super().paintEvent(event)
        if self._tiles is None:
            return
        painter = QPainter(self)
        painter.setFont(theme.small_font(self.font()))
        for coil in range(len(self._tiles)):
            place = self.place_of(coil).toAlignedRect()
            if place.intersects(self.rect()):
                self._paint_words(painter, coil, place)
        if self._coil < len(self._tiles) and len(self._tiles) > 1:
            pen = QPen(QColor(theme.colours().well_accent), 2)
            pen.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
            painter.setPen(pen)
            painter.drawRect(self.place_of(self._coil).adjusted(1, 1, -1, -1))
        if self._note:
            self._paint_note(painter)
        painter.end()

    def _paint_note(self, painter: QPainter) -> None:
        """Paint the note again, over the words of the tiles that it lies on."""
        flags = Qt.AlignmentFlag.AlignBottom | Qt.AlignmentFlag.AlignLeft
        self._write(
            painter, self.rect().adjusted(5, 0, -5, -3), flags, self._note, QColor(theme.colours().well_text), 1.0
        )

    def _paint_words(self, painter: QPainter, coil: int, place: QRect) -> None:
        metrics = painter.fontMetrics()
        inside = place.adjusted(_INSET + 3, _INSET, -_INSET - 3, -_INSET)
        state = self._states[coil] if self._states else ""
        # Wells are dark in both themes, and so is what a warning on them has to be read on.
        colour = QColor(theme.DARK.warning if state else theme.colours().well_text)
        if state:
            painter.setPen(QPen(colour, 1))
            painter.drawLine(QPointF(place.topLeft()), QPointF(place.bottomRight()))
            painter.drawLine(QPointF(place.topRight()), QPointF(place.bottomLeft()))
        if min(place.width(), place.height()) >= _SMALLEST_NUMBERED:
            self._write(painter, inside, Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft, str(coil + 1), colour)
        share = percent(self._shares[coil]) if self._shares else ""
        # What is written must not hide what it is about.
        has_room = place.height() >= _LINES_OF_WRITTEN * metrics.height()
        if has_room and share and inside.width() >= metrics.horizontalAdvance(share):
            self._write(painter, inside, Qt.AlignmentFlag.AlignBottom | Qt.AlignmentFlag.AlignRight, share, colour)
        if has_room and state and inside.width() >= metrics.horizontalAdvance(state):
            self._write(painter, inside, Qt.AlignmentFlag.AlignCenter, state, colour)

    def _write(
        self,
        painter: QPainter,
        room: QRect,
        flags: Qt.AlignmentFlag,
        text: str,
        colour: QColor,
        opacity: float = 0.75,
    ) -> None:
        place = painter.boundingRect(room, int(flags), text)
        ground = QColor(theme.colours().well)
        ground.setAlphaF(opacity)
        painter.fillRect(place.adjusted(-2, 0, 2, 0), ground)
        painter.setPen(colour)
        painter.drawText(place, int(Qt.AlignmentFlag.AlignCenter), text)


def percent(share: float) -> str:
    """Return a share in percent, to two digits where it is small: ``12 %``, ``6.2 %``, ``0 %``."""
    value = 100 * share
    if value == 0 or not math.isfinite(value):
        return "0 %"
    if value < 0.1:
        return "< 0.1 %"
    return f"{value:.1f} %" if value < 9.95 else f"{value:.0f} %"
