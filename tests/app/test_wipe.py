"""The wipe: reference or zero-filled on the left of every image, by key and mouse."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest

from app.views.component import Component

LEFT = Qt.MouseButton.LeftButton


def colours(well, x):
    """Colours of a column of pixels, without what lies on its image."""
    seen = well.grab().toImage()
    return [seen.pixel(x, y) for y in range(30, well.height() - 30)]


def plain(window, key):
    return [colours(window.grid.panel(key).well, x) for x in columns(window)]


def columns(window):
    """A place left and one right of the middle, in the disc."""
    width = window.grid.panel("zero-filled").well.width()
    return round(0.4 * width), round(0.6 * width)


@pytest.fixture
def run(window, qtbot, reconstruct):
    """Reconstruct the slice in view; its zero-filled image is darker than all others."""

    def run():
        reconstruct(window, qtbot)
        step = window.session.slice_result.last_of("zero-filled")
        object.__setattr__(step, "image", np.float32(0.5) * step.image)
        window.grid_presenter.refresh()

    return run


@pytest.mark.parametrize(("key", "component"), [(part.key, part) for part in Component])
def test_the_left_part_of_every_image_is_the_reference(window, qtbot, run, press, key, component):
    run()
    press(key)
    assert window.session.view.component is component
    qtbot.waitUntil(lambda: window.session.preview is not None, timeout=5000)
    window.grid_presenter.flush()
    window.session.view.clear_marks()
    before = {name: plain(window, name) for name in window.grid}
    assert component is Component.PHASE or before["zero-filled"] != before["reference"]
    press(Qt.Key.Key_W)
    assert window.commands.by_name["wipe"].isChecked()
    for name in window.grid:
        assert plain(window, name) == [before["reference"][0], before[name][1]], name
    # The error maps stay what they are, and so do values under the crosshair.
    assert window.grid.error_panel("final").well.wipe_end() is None
    assert window.grid.panel("final").well.image is not window.grid.panel("reference").well.image
    press(Qt.Key.Key_W)
    assert {name: plain(window, name) for name in window.grid} == before
    assert not window.commands.by_name["wipe"].isChecked()


def test_the_line_is_dragged_in_all_images_and_windows_go_along(window, run, press):
    run()
    press(Qt.Key.Key_W)
    wells = [window.grid.panel(key).well for key in window.grid]
    first, width, middle = wells[0], wells[0].width(), wells[0].height() // 2
    assert first.wipe_end() == round(width / 2) and wells[-1].wipe_end() is None  # the reference is itself
    QTest.mouseMove(first, QPoint(first.wipe_end(), middle))
    assert first.cursor().shape() == Qt.CursorShape.SplitHCursor
    QTest.mousePress(first, LEFT, Qt.KeyboardModifier.NoModifier, QPoint(first.wipe_end() + 2, middle))
    QTest.mouseMove(first, QPoint(round(0.8 * width), middle))
    QTest.mouseRelease(first, LEFT, Qt.KeyboardModifier.NoModifier, QPoint(round(0.8 * width), middle))
    assert window.session.view.wipe == pytest.approx(0.8, abs=0.01) and window.session.view.crosshair is None
    assert {well.wipe_end() for well in wells[:-1]} == {round(0.8 * width)}
    assert plain(window, "zero-filled") == plain(window, "reference")
    press(Qt.Key.Key_4)
    assert plain(window, "zero-filled") == plain(window, "reference")
    # Off its line the mouse does what it always does.
    for x in (width // 2 - 1, width // 2):  # of moves after a release, QTest swallows the first
        QTest.mouseMove(first, QPoint(x, middle))
    assert first.cursor().shape() == Qt.CursorShape.CrossCursor
    QTest.mouseClick(first, LEFT, Qt.KeyboardModifier.NoModifier, QPoint(width // 2, middle))
    assert window.session.view.crosshair is not None and window.session.view.wipe == pytest.approx(0.8, abs=0.01)
    # It cannot be lost beside the image.
    QTest.mousePress(first, LEFT, Qt.KeyboardModifier.NoModifier, QPoint(first.wipe_end(), middle))
    QTest.mouseMove(first, QPoint(width + 50, middle))
    QTest.mouseRelease(first, LEFT, Qt.KeyboardModifier.NoModifier, QPoint(width + 50, middle))
    assert window.session.view.wipe == 1.0


def test_beside_other_results_and_without_a_reference_it_is_the_zero_filled_image(
    window, qtbot, run, press, session, engine, new_series
):
    run()
    press(Qt.Key.Key_W)
    press(Qt.Key.Key_C)
    assert plain(window, "reference")[0] == plain(window, "zero-filled")[0] != plain(window, "reference")[1]
    press(Qt.Key.Key_C)
    assert plain(window, "reference")[0] == plain(window, "zero-filled")[0] == plain(window, "final")[0]
    engine.series["bare.h5"] = new_series(name="bare.h5", has_reference=False)
    session.open("/nowhere/bare.h5")
    qtbot.waitUntil(lambda: session.series.name == "bare.h5" and session.preview is not None, timeout=5000)
    window.grid_presenter.flush()
    assert window.grid.panel("final").well.wipe_end() is None  # nothing to compare with yet
    run()
    assert list(window.grid)[-1] == "final"
    assert window.grid.panel("final").well.wipe_end() is not None
    assert plain(window, "final")[0] == plain(window, "zero-filled")[0] != plain(window, "final")[1]


def test_it_follows_slices_zoom_and_an_image_of_another_shape(window, qtbot, run, press):
    run()
    press(Qt.Key.Key_W)
    press(Qt.Key.Key_Up)
    qtbot.waitUntil(lambda: window.session.preview is not None, timeout=5000)
    window.grid_presenter.flush()
    assert plain(window, "zero-filled")[0] == plain(window, "reference")[0]
    press(Qt.Key.Key_Plus)
    assert plain(window, "zero-filled")[0] == plain(window, "reference")[0] != plain(window, "zero-filled")[1]
    well = window.grid.panel("zero-filled").well
    well.set_image(np.ones((3, 5), np.float32))
    assert well.wipe_end() is None


def test_keys_move_the_line(window, run, press):
    run()
    view, further, less = window.session.view, *(window.commands.by_name[name] for name in ("wipeOn", "wipeBack"))
    assert not further.isEnabled() and not less.isEnabled()
    press(Qt.Key.Key_W)
    well = window.grid.panel("4x").well
    start = well.wipe_end()
    for _ in range(3):
        QTest.keyClick(window, Qt.Key.Key_Right, Qt.KeyboardModifier.AltModifier)
    assert view.wipe == pytest.approx(0.65) and well.wipe_end() > start
    for _ in range(20):
        QTest.keyClick(window, Qt.Key.Key_Left, Qt.KeyboardModifier.AltModifier)
    assert view.wipe == 0 and well.wipe_end() <= 1
    press(Qt.Key.Key_W)
    assert not further.isEnabled()
