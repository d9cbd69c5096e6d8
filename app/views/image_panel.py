"""One column's upper or lower half: title and scores, the image well, and the value under the crosshair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QSize
from PySide6.QtWidgets import QWidget

from app.views import levels
from app.views.caption import Caption
from app.views.image_well import ImageWell

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PySide6.QtGui import QResizeEvent


@dataclass(frozen=True)
class PanelSpec:
    """A column of the grid.

    Attributes
    ----------
    key
        Name by which the column is addressed.
    title
        What stands above it.
    subtitle
        Explanation for the tool tip.
    is_reference
        True for the column that errors are measured against; it has no error map of its own.
    """

    key: str
    title: str
    subtitle: str = ""
    is_reference: bool = False


class ImagePanel(QWidget):
    """Header, well and footer in exact places, so that neighbours line up to the pixel.

    Parameters
    ----------
    spec
        The column.
    is_error
        True for the lower half, which has no header of its own.
    parent
        Owner.
    """

    def __init__(self, spec: PanelSpec, is_error: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.is_error = is_error
        self.header = Caption(is_heading=True, parent=self)
        self.header.setVisible(not is_error)
        self.well = ImageWell(self)
        self.footer = Caption(parent=self)
        self._is_stacked = False
        self._caption = ""
        self.set_spec(spec)

    def set_spec(self, spec: PanelSpec) -> None:
        """Name the panel after a column."""
        self.spec = spec
        self.header.set_hint(spec.subtitle)
        self.set_title(spec.title)

    def set_title(self, title: str, end: str = "") -> None:
        """Rename the panel; the end of the title stays readable where there is little room."""
        self._title = title
        self.header.set_texts(left=title, end=end)
        self._describe()

    def set_image(self, image: NDArray[np.floating] | None, caption: str = "") -> None:
        """Show an image with its scores, or nothing."""
        self.well.set_image(image)
        self._caption = caption
        if self.is_error:
            self.footer.set_texts(left=caption)
        else:
            self.header.set_texts(right=caption)
        self._describe()
        self.show_probe()

    def set_message(self, text: str) -> None:
        """Say why there is no image."""
        self.well.set_message(text)
        self._describe()

    def set_crosshair(self, pixel: tuple[int, int] | None) -> None:
        """Move the crosshair and show the value under it."""
        self.well.set_crosshair(pixel)
        self.show_probe()

    def show_probe(self) -> None:
        """Write the value under the crosshair into the footer."""
        pixel = self.well.crosshair
        value = None if pixel is None else self.well.value_at(*pixel)
        self.footer.set_texts(right="" if value is None else levels.format_value(value, 3))

    def set_stacked(self, is_stacked: bool) -> None:
        """Give the header two lines; the same for all panels of a grid."""
        if is_stacked != self._is_stacked:
            self._is_stacked = is_stacked
            self.header.set_stacked(is_stacked)
            self.footer.set_stacked(is_stacked and self.is_error)
            self._arrange()

    def is_stacked(self) -> bool:
        """Whether the header has two lines."""
        return self._is_stacked

    def header_height(self) -> int:
        """Height above the well."""
        return 0 if self.is_error else self.header.height_of(self._is_stacked)

    def footer_height(self) -> int:
        """Height below the well; scores and probe of an error map take two lines where they need them."""
        return self.footer.height_of(self.is_error and self._is_stacked)

    def needs_stacking(self, width: int) -> bool:
        """Whether the texts are too long for one line of that width."""
        value = self.footer.texts()[1]
        if self.is_error and not value and self._caption:
            # The widest value that the crosshair can bring; the layout must not jump when it appears.
            return self.footer.one_line_width() + self.footer.fontMetrics().horizontalAdvance(" -8.88e-88") > width
        return max(self.header.one_line_width(), self.footer.one_line_width()) > width

    def title(self) -> str:
        """Title in use."""
        return self._title

    def caption(self) -> str:
        """Scores in use."""
        return self._caption

    def sizeHint(self) -> QSize:
        """Size that shows something."""
        return QSize(160, 200)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Place header, well and footer."""
        super().resizeEvent(event)
        self._arrange()

    def _arrange(self) -> None:
        top, bottom = self.header_height(), self.footer_height()
        self.header.setGeometry(0, 0, self.width(), top)
        self.well.setGeometry(0, top, self.width(), max(0, self.height() - top - bottom))
        self.footer.setGeometry(0, self.height() - bottom, self.width(), bottom)

    def _describe(self) -> None:
        kind = "Error map" if self.is_error else "Image"
        self.well.setAccessibleName(f"{kind}: {self._title}")
        shown = self._caption if self.well.image is not None else self.well.message or "no image"
        self.well.setAccessibleDescription(shown)
