"""What a well paints, and where."""

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, QRect
from PySide6.QtGui import QColor

from app import theme
from app.views import levels
from app.views.image_canvas import FIT, ImageCanvas, View


@pytest.fixture
def canvas(qtbot):
    widget = ImageCanvas()
    qtbot.addWidget(widget)
    widget.resize(200, 200)
    return widget


def grey_at(widget, x, y):
    return widget.grab().toImage().pixelColor(x, y).red()


def test_levels_reach_the_screen(canvas):
    image = np.zeros((2, 2), dtype=np.float32)
    image[0, 1], image[1, 0], image[1, 1] = 0.5, 1.0, 2.0
    canvas.set_image(image)
    canvas.set_levels(0.0, 1.0)
    assert [grey_at(canvas, x, y) for x, y in ((50, 50), (150, 50), (50, 150), (150, 150))] == [0, 128, 255, 255]
    canvas.set_levels(1.0, 2.0)
    assert grey_at(canvas, 50, 150) == 0


def test_flip_turns_the_picture_but_not_the_coordinates(canvas):
    image = np.array([[0.0, 0.0], [1.0, 1.0]], dtype=np.float32)
    canvas.set_image(image)
    assert grey_at(canvas, 50, 50) == 0
    canvas.set_flip(True)
    assert grey_at(canvas, 50, 50) == 255
    assert canvas.pixel_at(QPointF(50, 50)) == (0, 1)
    assert canvas.position_of(0, 1).toPoint() == QPoint(50, 50)


def test_image_keeps_its_shape_in_any_well(canvas):
    canvas.resize(300, 100)
    canvas.set_image(np.ones((50, 25), dtype=np.float32))
    assert canvas.target().width() == pytest.approx(50)
    assert canvas.target().height() == pytest.approx(100)
    canvas.set_pixel_aspect(2.0)
    assert canvas.target().height() / canvas.target().width() == pytest.approx(4)
    background = QColor(theme.colours().well).red()
    assert grey_at(canvas, 5, 50) == background


def test_crosshair_and_probe_agree_at_any_zoom(canvas):
    canvas.set_image(np.random.default_rng(0).random((33, 47)).astype(np.float32))
    for view in (FIT, View(3.0, 0.3, 0.8), View(0.5)):
        canvas.set_view(view)
        for flipped in (False, True):
            canvas.set_flip(flipped)
            for pixel in ((0, 0), (46, 32), (20, 7)):
                assert canvas.pixel_at(canvas.position_of(*pixel)) == pixel


def test_zoom_holds_the_point_under_the_cursor(canvas):
    canvas.set_image(np.ones((100, 100), dtype=np.float32))
    cursor = QPointF(60, 130)
    before = canvas.share_at(cursor)
    canvas.set_view(canvas.view.zoomed(3.7, *before))
    assert canvas.share_at(cursor) == pytest.approx(before)


def test_views_are_bounded():
    assert View().zoomed(1e9).zoom == 40
    assert View().zoomed(1e-9).zoom == 0.25
    moved = View(4.0).moved(5.0, -5.0)
    assert (moved.x, moved.y) == (0.0, 1.0)


def test_small_pictures_are_averaged_not_picked(canvas):
    stripes = np.zeros((400, 400), dtype=np.float32)
    stripes[:, ::2] = 1.0
    canvas.resize(50, 50)
    canvas.set_image(stripes)
    assert 110 <= grey_at(canvas, 25, 25) <= 145


def test_zoomed_voxels_are_sharp(canvas):
    checker = (np.indices((8, 8)).sum(0) % 2).astype(np.float32)
    canvas.set_image(checker)
    colours = {canvas.grab().toImage().pixelColor(x, 60).red() for x in range(200)}
    assert colours <= {0, 255}


@pytest.mark.parametrize(
    "image", [np.full((8, 8), np.nan), np.full((8, 8), np.inf), np.zeros((1, 1)), np.ones((1, 300))]
)
def test_odd_images_are_painted(canvas, image):
    canvas.set_image(image)
    assert not canvas.grab().isNull()


def test_new_image_replaces_the_old_one_in_place(canvas):
    canvas.set_image(np.zeros((16, 16), dtype=np.float32))
    assert grey_at(canvas, 100, 100) == 0
    canvas.set_image(np.ones((16, 16), dtype=np.float32))
    assert grey_at(canvas, 100, 100) == 255
    canvas.set_image(None)
    assert grey_at(canvas, 100, 100) == QColor(theme.colours().well).red()


def test_wrong_shape_is_refused(canvas):
    with pytest.raises(ValueError, match="two axes"):
        canvas.set_image(np.zeros((2, 3, 4)))


def test_box_takes_the_values_that_are_seen_in_it(canvas, ramp_image):
    canvas.set_image(ramp_image)
    values = canvas.pixels_in(QRect(QPoint(0, 0), QPoint(99, 49)))
    assert values.shape == (16, 32)
    assert values.max() == 1531
    canvas.set_flip(True)
    assert canvas.pixels_in(QRect(QPoint(0, 0), QPoint(99, 49))).min() == 4800
    assert canvas.pixels_in(QRect(500, 500, 10, 10)) is None


def test_content_box_finds_the_body(canvas):
    image = np.random.default_rng(0).random((100, 100)).astype(np.float32) * 0.05
    image[20:80, 30:60] += 1
    canvas.set_image(image)
    box = canvas.content_box()
    assert box == pytest.approx((0.27, 0.17, 0.63, 0.83))
    view = canvas.view_of(box)
    canvas.set_view(view)
    assert view.zoom > 1.4
    for corner in ((30, 20), (59, 79)):
        assert canvas.rect().contains(canvas.position_of(*corner).toPoint())
    canvas.set_image(np.zeros((10, 10), dtype=np.float32))
    assert canvas.content_box() is None


def test_error_table_colours(canvas):
    canvas.set_table(levels.packed(levels.inferno_table()))
    canvas.set_image(np.ones((4, 4), dtype=np.float32))
    colour = canvas.grab().toImage().pixelColor(100, 100)
    assert (colour.red(), colour.green(), colour.blue()) == tuple(levels.inferno_table()[255, :3])
