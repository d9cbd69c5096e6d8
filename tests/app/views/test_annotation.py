"""Sides and scale of images: what the file says, where it says it, and nothing that was made up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QImage
from PySide6.QtTest import QTest

from app.views.annotation import Annotation, bar_length, opposite
from app.views.image_canvas import ImageCanvas
from recon.data import Geometry

AXIAL = Geometry(pixel_spacing_mm=(2.0, 1.0), orientation=(1, 0, 0, 0, 1, 0), is_synthetic=False)


def bright(canvas):
    """Tell which pixels of a canvas with a black image are not black."""
    picture = canvas.grab().toImage().convertToFormat(QImage.Format.Format_Grayscale8)
    values = np.frombuffer(picture.constBits(), np.uint8).reshape(picture.height(), picture.bytesPerLine())
    values = values[:, : picture.width()]
    return values > 60


@pytest.fixture
def canvas(qtbot):
    canvas = ImageCanvas()
    qtbot.addWidget(canvas)
    canvas.resize(300, 300)
    canvas.set_image(np.zeros((100, 100)))
    canvas.show()
    return canvas


@pytest.mark.parametrize(
    ("orientation", "sides"),
    [
        ((1, 0, 0, 0, 1, 0), ("R", "A")),
        ((1, 0, 0, 0, 0, -1), ("R", "H")),
        ((0, 1, 0, 0, 0, -1), ("A", "H")),
        ((-1, 0, 0, 0, -1, 0), ("L", "P")),
        ((0.8, 0.6, 0, 0, 0, -1), ("RA", "H")),
        ((0.6, 0.8, 0, 0, 0, -1), ("AR", "H")),
        ((0.99, 0.14, 0, 0, 0, 1), ("R", "F")),
    ],
)
def test_letters_name_the_sides_that_the_picture_begins_with(orientation, sides):
    assert Annotation.of(replace(AXIAL, orientation=orientation)).sides == sides


def test_the_letters_of_a_real_scan(shared_data):
    from recon import open_study

    series = open_study(shared_data / "dicom" / "siemens_t1_mprage_sag").series[0]
    assert Annotation.of(series.geometry).sides == ("A", "H")
    assert Annotation.of(series.geometry).column_mm == pytest.approx(0.859375)
    assert opposite(series.geometry.orientation[:3]) == "A"


def test_what_is_made_up_is_not_written():
    assert Annotation.of(replace(AXIAL, is_synthetic=True)) == Annotation(None, 1.0)
    assert Annotation.of(replace(AXIAL, spacing_is_assumed=True)) == Annotation(("R", "A"), None)


def test_the_bar_is_a_round_length_that_fits():
    assert bar_length(1.0, 300) == 50
    assert bar_length(3.0, 300) == 20
    assert bar_length(100.0, 300) is None
    assert bar_length(1e-3, 300) == 200


def test_the_bar_is_as_long_as_it_says_at_any_zoom(canvas):
    # 100 voxels of 1 mm on 300 pixels: three pixels a millimetre, and a bar of 2 cm.
    assert not bright(canvas).any()
    canvas.set_annotation(Annotation.of(AXIAL))
    canvas.set_pixel_aspect(1.0)
    rows = bright(canvas)[280:]
    assert max(row.sum() for row in rows) == 60
    canvas.set_view(canvas.view.zoomed(2.0))
    rows = bright(canvas)[280:]
    assert max(row.sum() for row in rows) == 60  # 1 cm, six pixels a millimetre
    canvas.set_annotation(None)
    assert not bright(canvas).any()


def test_letters_stand_at_the_edges(canvas):
    canvas.set_annotation(Annotation(("R", "A"), None))
    seen = bright(canvas)
    assert seen[140:160, :20].any() and seen[:20, 140:160].any()
    seen[140:160, :20] = seen[:20, 140:160] = False
    assert not seen.any()
    # Too small a well keeps its picture.
    canvas.resize(100, 100)
    assert not bright(canvas).any()


def test_a_key_takes_them_off_and_puts_them_back(window):
    session = window.session
    object.__setattr__(session.series, "geometry", AXIAL)
    window.grid_presenter.refresh()
    wells = [window.grid.panel(key).well for key in window.grid]
    assert all(well._annotation == Annotation(("R", "A"), 1.0) for well in wells)
    assert window.commands.by_name["annotations"].isChecked()
    QTest.keyClick(window, Qt.Key.Key_A)
    window.grid_presenter.flush()
    assert all(well._annotation is None for well in wells)
    QTest.keyClick(window, Qt.Key.Key_A)
    window.grid_presenter.flush()
    assert all(well._annotation is not None for well in wells)
    assert "unverified" not in window.status.labels["flip"].text()


def test_the_status_says_that_the_sides_are_unknown(window):
    object.__setattr__(window.session.series, "geometry", replace(AXIAL, is_synthetic=True, flip_rows=True))
    window.status.refresh()
    assert window.status.labels["flip"].text() == "view: flipped ↕ · orientation unverified"
