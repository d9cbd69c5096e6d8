"""Icons: every name is in the set, drawn in its colour, whole, in the middle, and without QtAwesome's own import."""

import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QIcon, QImage
from PySide6.QtWidgets import QToolButton

from app import command_list, icons, theme

GREEN, RED = "#00ff00", "#ff0000"


def rgba(icon: QIcon, size: int, mode: QIcon.Mode = QIcon.Mode.Normal) -> np.ndarray:
    image = icon.pixmap(QSize(size, size), 1.0, mode).toImage().convertToFormat(QImage.Format.Format_RGBA8888)
    return np.array(image.constBits(), np.uint8).reshape(size, size, 4)


@pytest.mark.parametrize("size", [16, 18, 30, 64])
def test_an_icon_fills_its_square_and_is_not_cut(qapp, size):
    covered = rgba(icons.icon("fit-to-page-outline", GREEN, RED), size)[..., 3] > 64
    rows, columns = np.flatnonzero(covered.any(1)), np.flatnonzero(covered.any(0))
    for line in (rows, columns):
        assert line[-1] - line[0] + 1 >= 0.6 * size
        assert abs(line[0] + line[-1] - (size - 1)) <= 2
        assert line[0] > 0
        assert line[-1] < size - 1


def test_an_icon_has_its_colour_and_another_where_it_is_disabled(qapp):
    icon = icons.icon("play", GREEN, RED)
    for mode, channel in ((QIcon.Mode.Normal, 1), (QIcon.Mode.Disabled, 0)):
        pixels = rgba(icon, 24, mode)
        inside = pixels[pixels[..., 3] == 255]
        assert len(inside) > 40
        assert (inside[:, channel] == 255).all()
        assert (inside[:, 1 - channel] == 0).all()


def test_a_screen_of_twice_the_density_gets_twice_the_pixels(qapp):
    pixmap = icons.icon("play", GREEN, RED).pixmap(QSize(18, 18), 2.0)
    assert pixmap.width() == 36
    assert pixmap.devicePixelRatio() == 2


def test_a_button_paints_it(qtbot):
    button = QToolButton()
    qtbot.addWidget(button)
    button.setStyleSheet("background: #000000; border: none")
    button.setIcon(icons.icon("play", GREEN, RED))
    button.resize(40, 40)
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonIconOnly)
    assert button.grab().toImage().pixelColor(20, 20).name() == GREEN


def test_every_icon_that_is_named_is_in_the_set():
    named = {command.icon for command in command_list.COMMANDS if command.icon}
    for path in Path(icons.__file__).parent.rglob("*.py"):
        for call in re.findall(r"(?:set_icon|theme\.icon)\([^)]*\)", path.read_text("utf-8")):
            named |= set(re.findall(r'"([a-z0-9-]+)"', call)) - {field.name for field in fields(theme.Colours)}
    named.discard("text")
    assert {"play", "pause", "tray-arrow-down"} <= named
    assert named <= icons.glyphs().keys()


def test_a_changed_copy_still_draws(qapp):
    icon = QIcon(icons.icon("play", GREEN, RED))
    icon.setIsMask(True)
    assert (rgba(icon, 24)[..., 3] == 255).sum() > 40


def test_an_unknown_name_is_an_error(qapp):
    with pytest.raises(KeyError, match="no-such-thing"):
        icons.icon("no-such-thing", GREEN, RED)
