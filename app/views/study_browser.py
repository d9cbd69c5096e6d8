"""The open studies: one row a series, with thumbnail, title, shape and how it was sampled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import QPoint, QRect, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFontMetrics, QImage, QPainter, QPixmap
from PySide6.QtWidgets import (
    QAbstractItemView,
    QListWidget,
    QListWidgetItem,
    QMenu,
    QStyle,
    QStyledItemDelegate,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.views.named import named

if TYPE_CHECKING:
    from PySide6.QtCore import QModelIndex, QPersistentModelIndex
    from PySide6.QtWidgets import QStyleOptionViewItem

    from recon.data import Series, Study

_SERIES = Qt.ItemDataRole.UserRole
_PIXMAP = Qt.ItemDataRole.UserRole + 1
_STUDY = Qt.ItemDataRole.UserRole + 2
PICTURE = 48
ROW = PICTURE + 12


def shape_text(series: Series) -> str:
    """Words for the shape, rows before columns: ``10 slices · 8 coils · 640 × 372``."""

    def plural(count: int, word: str) -> str:
        return f"{count} {word}" if count == 1 else f"{count} {word}s"

    rows, columns = series.matrix
    return f"{plural(series.n_slices, 'slice')} · {plural(series.n_coils, 'coil')} · {rows} × {columns}"


def sampling_text(series: Series) -> tuple[str, str]:
    """Badge for how the k-space came about, and the role of its colour."""
    if series.is_simulated:
        return "simulated k-space", "warning"
    if series.acquired_mask is not None:
        return "undersampled by the scanner", "accent"
    return "fully sampled", "good"


class _Delegate(QStyledItemDelegate):
    """Paints a row: picture, title, shape, badge."""

    def sizeHint(self, option: QStyleOptionViewItem, _index: QModelIndex | QPersistentModelIndex) -> QSize:
        return QSize(160, max(ROW, 3 * option.fontMetrics.height() + 14))

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        colours = theme.colours()
        series = index.data(_SERIES)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        area = option.rect.adjusted(2, 1, -2, -1)
        if option.state & QStyle.StateFlag.State_Selected:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(colours.selection))
            painter.drawRoundedRect(area, 4, 4)
        elif option.state & QStyle.StateFlag.State_MouseOver:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(colours.raised))
            painter.drawRoundedRect(area, 4, 4)
        if option.state & QStyle.StateFlag.State_HasFocus:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QColor(colours.accent))
            painter.drawRoundedRect(area, 4, 4)

        well = QRect(area.left() + 6, area.top() + (area.height() - PICTURE) // 2, PICTURE, PICTURE)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(colours.well))
        painter.drawRoundedRect(well, 3, 3)
        pixmap = index.data(_PIXMAP)
        if pixmap is not None:
            size = pixmap.size().scaled(well.size(), Qt.AspectRatioMode.KeepAspectRatio)
            offset = QPoint((PICTURE - size.width()) // 2, (PICTURE - size.height()) // 2)
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawPixmap(QRect(well.topLeft() + offset, size), pixmap)

        text = QRect(well.right() + 10, area.top(), area.right() - well.right() - 16, area.height())
        small = theme.small_font(option.font)
        bold = option.font
        bold.setWeight(bold.Weight.DemiBold)
        heights = [QFontMetrics(bold).height(), QFontMetrics(small).height(), QFontMetrics(small).height()]
        top = text.top() + (text.height() - sum(heights) - 4) // 2
        badge, role = sampling_text(series)
        lines = (
            (bold, colours.text, series.title),
            (small, colours.muted, shape_text(series)),
            (small, getattr(colours, role), badge),
        )
        for (font, colour, line), height in zip(lines, heights, strict=True):
            painter.setFont(font)
            painter.setPen(QColor(colour))
            # Series of one scan differ at the end of their titles.
            elided = QFontMetrics(font).elidedText(line, Qt.TextElideMode.ElideMiddle, text.width())
            painter.drawText(QRect(text.left(), top, text.width(), height), Qt.AlignmentFlag.AlignVCenter, elided)
            top += height + 2
        painter.restore()


class StudyBrowser(QWidget):
    """List of the series of all open studies.

    Signals
    -------
    chosen
        The user clicked on a series.
    close_wanted
        The user wants to close a study.
    """

    chosen = Signal(object)
    close_wanted = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("studyBrowser")
        self.list = named("seriesList", QListWidget())
        self.list.setAccessibleName("Series")
        self.list.setItemDelegate(_Delegate(self.list))
        self.list.setMouseTracking(True)
        self.list.setFrameShape(QListWidget.Shape.NoFrame)
        self.list.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.list.customContextMenuRequested.connect(self._open_menu)
        self.list.currentItemChanged.connect(self._choose)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.SPACE, 0, theme.SPACE, 0)
        layout.addWidget(self.list)

    def set_studies(self, studies: list[Study]) -> None:
        """Show the series of these studies; thumbnails that are known stay."""
        pictures = {
            id(self._item(row).data(_SERIES)): self._item(row).data(_PIXMAP) for row in range(self.list.count())
        }
        blocked = self.list.blockSignals(True)
        self.list.clear()
        for study in studies:
            for series in study.series:
                item = QListWidgetItem(series.title)
                item.setData(_SERIES, series)
                item.setData(_STUDY, study)
                item.setData(_PIXMAP, pictures.get(id(series)))
                item.setToolTip(f"{series.title}\n{series.path}\n{shape_text(series)}\n{sampling_text(series)[0]}")
                item.setData(
                    Qt.ItemDataRole.AccessibleTextRole,
                    f"{series.title}, {shape_text(series)}, {sampling_text(series)[0]}",
                )
                self.list.addItem(item)
        self.list.blockSignals(blocked)

    def set_current(self, series: Series | None) -> None:
        """Mark the series that is shown."""
        blocked = self.list.blockSignals(True)
        for row in range(self.list.count()):
            if self._item(row).data(_SERIES) is series:
                self.list.setCurrentRow(row)
                self.list.scrollToItem(self._item(row))
        self.list.blockSignals(blocked)

    def set_thumbnail(self, series: Series, image: np.ndarray[Any, Any]) -> None:
        """Give a series its picture."""
        for row in range(self.list.count()):
            if self._item(row).data(_SERIES) is series:
                self._item(row).setData(_PIXMAP, to_pixmap(image))

    def _item(self, row: int) -> QListWidgetItem:
        return self.list.item(row)

    def _choose(self, item: QListWidgetItem | None) -> None:
        if item is not None:
            self.chosen.emit(item.data(_SERIES))

    def _open_menu(self, position: QPoint) -> None:
        item = self.list.itemAt(position)
        if item is not None:
            menu = QMenu(self)
            menu.addAction("Close study").triggered.connect(lambda: self.close_wanted.emit(item.data(_STUDY)))
            menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            menu.popup(self.list.viewport().mapToGlobal(position))


def to_pixmap(image: np.ndarray[Any, Any]) -> QPixmap:
    """Grey picture of a magnitude image, black at its 1st and white at its 99.5th percentile."""
    low, high = np.percentile(image, (1, 99.5))
    grey = np.clip((image - low) / max(float(high - low), 1e-30), 0, 1)
    data = np.ascontiguousarray(grey * 255, dtype=np.uint8)
    rows, columns = data.shape
    return QPixmap.fromImage(QImage(data.data, columns, rows, columns, QImage.Format.Format_Grayscale8).copy())
