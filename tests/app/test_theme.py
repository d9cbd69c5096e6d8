"""Both themes: readable, complete, switched while the window is open."""

import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QPushButton, QToolButton

from app import theme


@pytest.fixture(autouse=True)
def dark_afterwards(qapp):
    yield
    theme.apply(qapp, "dark")


@pytest.mark.parametrize("colours", [theme.DARK, theme.LIGHT], ids=["dark", "light"])
def test_text_has_a_contrast_of_four_and_a_half(colours):
    grounds = (colours.window, colours.base, colours.raised)
    for role in ("text", "muted", "accent", "good", "warning", "error"):
        for ground in grounds:
            assert theme.contrast(getattr(colours, role), ground) >= 4.5, (role, ground)
    assert theme.contrast(colours.on_accent, colours.accent) >= 4.5
    assert theme.contrast(colours.on_accent, colours.accent_hover) >= 4.5
    assert theme.contrast(colours.text, colours.selection) >= 4.5
    for role in ("well_text", "well_muted", "well_accent"):
        assert theme.contrast(getattr(colours, role), colours.well) >= 4.5
    for curve in colours.series:
        assert theme.contrast(curve, colours.base) >= 3


def test_contrast_is_that_of_the_guidelines():
    assert theme.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert theme.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_themes_differ_and_wells_do_not():
    for field in fields(theme.Colours):
        same = getattr(theme.DARK, field.name) == getattr(theme.LIGHT, field.name)
        assert same == field.name.startswith("well"), field.name
    assert replace(theme.DARK) == theme.DARK


def test_switching_reaches_palette_style_icons_and_listeners(qapp, qtbot):
    button = QToolButton()
    qtbot.addWidget(button)
    theme.apply(qapp, "dark")
    theme.set_icon(button, "play")
    dark_icon = button.icon().pixmap(18, 18).toImage()
    with qtbot.waitSignal(theme.notifier().changed, timeout=1000):
        theme.apply(qapp, "light")
    assert not theme.is_dark()
    assert qapp.palette().color(QPalette.ColorRole.Window).name() == theme.LIGHT.window
    assert qapp.style().objectName().lower() == "fusion" or qapp.styleSheet()
    assert button.icon().pixmap(18, 18).toImage() != dark_icon


def test_auto_is_dark_where_the_desktop_says_nothing(qapp):
    theme.apply(qapp, "auto")
    assert theme.choice() == "auto"
    assert theme.is_dark()
    with pytest.raises(ValueError, match="unknown"):
        theme.apply(qapp, "solarized")


def test_primary_button_is_painted_in_the_accent_colour(qapp, qtbot):
    for choice in ("dark", "light"):
        theme.apply(qapp, choice)
        button = QPushButton("Reconstruct")
        button.setProperty("primary", True)
        qtbot.addWidget(button)
        button.resize(120, 32)
        button.show()
        assert button.grab().toImage().pixelColor(8, 16).name() == theme.colours().accent


HIDPI = """
import sys
import numpy as np
from PySide6.QtWidgets import QApplication
app = QApplication([])
from app import theme
from app.views.image_grid import ImageGrid, PanelSpec
theme.apply(app, "dark")
grid = ImageGrid()
grid.resize(600, 400)
grid.set_panels([PanelSpec("a", "a"), PanelSpec("b", "b", is_reference=True)])
checker = (np.indices((600, 600)).sum(0) % 2).astype(np.float32)
grid.set_image("a", checker)
grid.set_image("b", checker)
grid.set_levels(0, 1)
grid.show()
picture = grid.grab()
assert picture.devicePixelRatio() == 2, picture.devicePixelRatio()
assert picture.width() == 1200, picture.width()
# 600 voxels on 2 x 294 device pixels: the picture has to use the fine pixels, not be blown up from coarse ones.
well = grid.panel("a").well
image = well.grab().toImage()
row = [image.pixelColor(x, image.height() // 2).red() for x in range(60, 120)]
pairs = [abs(a - b) for a, b in zip(row[::2], row[1::2])]
assert max(pairs) > 10, pairs
"""


def test_images_use_every_pixel_at_200_percent():
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "QT_SCALE_FACTOR": "2", "QT_QPA_PLATFORM": "offscreen", "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", HIDPI], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
