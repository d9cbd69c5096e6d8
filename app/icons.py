"""Icons of the Material Design set, drawn from the font that QtAwesome carries.

Only its font and table of names are used. Importing QtAwesome itself loads Qt's modules once more through QtPy, and its
first icon reads and checks twelve fonts; together they would take a quarter of the time until the window is up.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PySide6.QtCore import QPoint, QRect, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontDatabase, QIcon, QIconEngine, QPainter, QPixmap

# Qt asks for a copy where an icon is changed, and does not tell Python that it keeps it.
_clones: list[QIconEngine] = []

_FILL = 0.95
"""Height of a glyph's em square as a share of the icon's."""


def icon(name: str, colour: str, disabled: str) -> QIcon:
    """Return an icon, sharp at any size and on any screen.

    Parameters
    ----------
    name
        Name in the set, such as ``play`` or ``folder-open-outline``.
    colour, disabled
        What it is drawn in as ``#rrggbb``, and what where its owner is disabled.

    Raises
    ------
    KeyError
        If the set has no icon of this name.
    """
    return QIcon(_Glyph(glyphs()[name], colour, disabled))


@cache
def glyphs() -> dict[str, str]:
    """Return each icon's character by its name."""
    table: dict[str, str] = json.loads(_file("charmap-*.json").read_bytes())
    return {name: chr(int(code, 16)) for name, code in table.items()}


@cache
def _family() -> str:
    return QFontDatabase.applicationFontFamilies(QFontDatabase.addApplicationFont(str(_file("*.ttf"))))[0]


def _file(pattern: str) -> Path:
    package = find_spec("qtawesome")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("QtAwesome, whose icons the window uses, is not installed: pip install qtawesome")
    return next(Path(package.origin).parent.glob(f"fonts/materialdesignicons6-webfont-{pattern}"))


class _Glyph(QIconEngine):
    """Draws a character in the middle of whatever room there is."""

    def __init__(self, character: str, colour: str, disabled: str) -> None:
        super().__init__()
        self._character, self._colour, self._disabled = character, colour, disabled

    def paint(self, painter: QPainter, rect: QRect, mode: QIcon.Mode, state: QIcon.State) -> None:  # noqa: ARG002
        font = QFont(_family())
        font.setPixelSize(max(1, round(rect.height() * _FILL)))
        painter.save()
        painter.setFont(font)
        painter.setPen(QColor(self._disabled if mode is QIcon.Mode.Disabled else self._colour))
        painter.drawText(rect, Qt.AlignmentFlag.AlignCenter, self._character)
        painter.restore()

    def pixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
        pixmap = QPixmap(size)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        self.paint(painter, QRect(QPoint(0, 0), size), mode, state)
        painter.end()
        return pixmap

    def clone(self) -> _Glyph:
        copy = _Glyph(self._character, self._colour, self._disabled)
        _clones.append(copy)
        return copy
