"""What a network made of a validation slice as it learned: one picture at a time, with a slider back to the first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSlider, QVBoxLayout, QWidget

from app import theme
from app.views.named import named

if TYPE_CHECKING:
    from PySide6.QtGui import QPaintEvent

PARTS = "zero-filled | output | reference"


class _Picture(QWidget):
    """An image, as large as it fits, on the ground on which all images lie."""

    def __init__(self) -> None:
        super().__init__()
        self.image = QImage()
        self.parts: tuple[str, ...] = ()
        self.setMinimumHeight(72)

    def sizeHint(self) -> QSize:
        return QSize(300, 120)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: ARG002  all of it is painted
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(theme.colours().well))
        if not self.image.isNull():
            size = self.image.size().scaled(self.size(), Qt.AspectRatioMode.KeepAspectRatio)
            target = QRect(QPoint(), size)
            target.moveCenter(self.rect().center())
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawImage(target, self.image)
            painter.setFont(theme.small_font(self.font()))
            painter.setPen(QColor(theme.colours().well_text))
            width = target.width() / max(1, len(self.parts))
            for place, part in enumerate(self.parts):
                area = QRectF(target.x() + place * width + theme.SPACE, target.y() + 2, width, target.height())
                painter.drawText(area, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop, part)
        painter.end()


class PreviewStrip(QWidget):
    """Previews of a run.

    Signals
    -------
    wanted
        Place of the preview to be shown; `set_image` brings it.
    """

    wanted = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.picture = _Picture()
        self.picture.setAccessibleName("Preview: zero-filled, network and reference")
        self.slider = named("trainingPreview", QSlider(Qt.Orientation.Horizontal))
        self.slider.setAccessibleName("Preview by the time in training")
        self.slider.setToolTip("Go back to earlier previews; at its end it follows the newest")
        self.slider.valueChanged.connect(self._move)
        self.caption = QLabel()
        self.caption.setProperty("muted", True)
        self.caption.setFont(theme.small_font(self.font()))
        row = QHBoxLayout()
        row.setSpacing(theme.GAP)
        row.addWidget(self.caption)
        row.addWidget(self.slider, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.picture, 1)
        layout.addLayout(row)
        self._n = 0
        self.hide()

    def set_count(self, n_previews: int) -> None:
        """Say how many there are; at its end the slider goes along."""
        is_at_end = self.slider.value() >= self._n - 1
        if n_previews == self._n:
            return
        self._n = n_previews
        self.setVisible(n_previews > 0)
        self.slider.blockSignals(True)
        self.slider.setRange(0, max(0, n_previews - 1))
        if is_at_end or self.slider.value() >= n_previews:
            self.slider.setValue(n_previews - 1)
        self.slider.blockSignals(False)
        self.slider.setVisible(n_previews > 1)
        if n_previews:
            self.wanted.emit(self.slider.value())
        else:
            self.set_image(QImage())

    def set_image(self, image: QImage, parts: str = "", moment: str = "") -> None:
        """Show a picture: what stands in it from left to right, and when in the training it was made."""
        self.picture.image = image
        self.picture.parts = tuple(part.strip() for part in (parts or PARTS).split("|"))
        self.caption.setText(moment)
        self.picture.update()

    def _move(self, place: int) -> None:
        if self._n:
            self.wanted.emit(place)
