"""The linked grid, driven with real mouse, wheel and key events."""

import time

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QContextMenuEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.views.image_grid import ImageGrid, PanelSpec
from app.views.refresh_rate import measure_refresh

LEFT, RIGHT, MIDDLE = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton, Qt.MouseButton.MiddleButton
CONTROL, SHIFT, ALT = (
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.ShiftModifier,
    Qt.KeyboardModifier.AltModifier,
)


def wells(grid):
    return [grid.panel(key).well for key in grid] + [grid.error_panel(key).well for key in ("zf", "final")]


def centre(widget):
    return widget.rect().center()


# -- wheel ---------------------------------------------------------------------------------------------------------


def test_wheel_steps_slices_iterations_and_coils(grid, qtbot, turn_wheel):
    well = grid.panel("final").well
    steps = []
    grid.sliceStep.connect(lambda n: steps.append(("slice", n)))
    grid.iterationStep.connect(lambda n: steps.append(("iteration", n)))
    grid.coilStep.connect(lambda n: steps.append(("coil", n)))
    turn_wheel(well, 120)
    turn_wheel(well, -240)
    turn_wheel(well, 120, SHIFT)
    turn_wheel(well, 120, ALT, sideways=True)
    assert steps == [("slice", 1), ("slice", -2), ("iteration", 1), ("coil", 1)]


def test_touch_pad_deltas_add_up_to_one_step(grid, turn_wheel):
    steps = []
    grid.sliceStep.connect(steps.append)
    for _ in range(9):
        turn_wheel(grid.panel("zf").well, 20)
    assert steps == [1]


def test_control_wheel_zooms_all_at_the_cursor(grid, turn_wheel):
    well = grid.error_panel("zf").well
    zooms = []
    grid.viewChanged.connect(zooms.append)
    where = centre(well) + QPoint(30, -20)
    before = well.pixel_at(where)
    turn_wheel(well, 240, CONTROL, where)
    assert zooms == [pytest.approx(1.44)]
    assert well.pixel_at(where) == before
    assert {other.view for other in wells(grid)} == {grid.view()}


# -- buttons -------------------------------------------------------------------------------------------------------


def test_left_click_links_the_crosshair_and_shows_every_value(grid, qtbot):
    well = grid.panel("final").well
    target = well.position_of(20, 30).toPoint()
    with qtbot.waitSignal(grid.probeMoved, timeout=1000) as caught:
        QTest.mouseClick(well, LEFT, pos=target)
    assert caught.args == [20, 30]
    assert {other.crosshair for other in wells(grid)} == {(20, 30)}
    assert grid.probe_values() == {"zf": 3020.0, "final": 3020.0, "reference": 3020.0}
    assert grid.panel("reference").footer.texts()[1] == "3020"
    assert grid.error_panel("zf").footer.texts() == ("NMSE 0.012", "3015")


def test_left_drag_moves_the_crosshair_and_beside_the_image_removes_it(grid, drag):
    well = grid.panel("zf").well
    places = []
    grid.probeMoved.connect(lambda x, y: places.append((x, y)))
    drag(well, LEFT, well.position_of(5, 5).toPoint(), well.position_of(40, 50).toPoint())
    assert places[0] == (5, 5)
    assert places[-1] == (40, 50)
    left = []
    grid.probeLeft.connect(lambda: left.append(True))
    grid.zoom_by(0.5)
    QTest.mouseClick(well, LEFT, pos=QPoint(well.width() // 2, 1))
    assert left == [True]
    assert grid.probe() is None
    assert grid.panel("zf").footer.texts()[1] == ""


def test_right_drag_changes_the_window_of_all_images_but_not_of_errors(grid, drag):
    well, error = grid.panel("zf").well, grid.error_panel("zf").well
    told, error_limits = [], error.limits
    grid.levelsChanged.connect(lambda low, high: told.append((low, high)))
    drag(well, RIGHT, centre(well), centre(well) + QPoint(60, 0))
    low, high = told[-1]
    assert high - low > 6400
    assert {grid.panel(key).well.limits for key in grid} == {(low, high)}
    drag(well, RIGHT, centre(well), centre(well) - QPoint(0, 60))
    assert sum(told[-1]) < low + high, "up is brighter: the centre falls"
    assert error.limits == error_limits


def test_right_click_opens_the_menu_and_drag_does_not(grid, qtbot, drag):
    well = grid.panel("final").well
    menus = []
    grid.contextMenuRequested.connect(lambda key, position: menus.append((key, position)))
    drag(well, RIGHT, centre(well), centre(well) + QPoint(40, 0))
    qtbot.wait(300)
    assert menus == []
    QTest.mouseClick(well, RIGHT, pos=centre(well))
    qtbot.waitUntil(lambda: len(menus) == 1, timeout=2000)
    assert menus == [("final", well.mapToGlobal(centre(well)))]


def test_double_right_click_resets_the_levels_and_opens_no_menu(grid, qtbot):
    well = grid.panel("final").well
    menus = []
    grid.contextMenuRequested.connect(lambda *_: menus.append(True))
    with qtbot.waitSignal(grid.levelsReset, timeout=1000):
        QTest.mouseClick(well, RIGHT, pos=centre(well))
        QTest.mouseDClick(well, RIGHT, pos=centre(well))
    qtbot.wait(300)
    assert menus == []


def test_menu_key_opens_the_menu_at_the_panel(grid, qtbot):
    well = grid.panel("zf").well
    with qtbot.waitSignal(grid.contextMenuRequested, timeout=1000) as caught:
        QApplication.sendEvent(well, QContextMenuEvent(QContextMenuEvent.Reason.Keyboard, QPoint(), QPoint()))
    assert caught.args[0] == "zf"


@pytest.mark.parametrize("button", [MIDDLE, LEFT])
def test_middle_drag_and_space_drag_pan_all(grid, drag, button):
    grid.set_view(grid.view().zoomed(4.0))
    well = grid.panel("zf").well
    QTest.mouseClick(well, LEFT, pos=centre(well))
    if button == LEFT:
        QTest.keyPress(well, Qt.Key.Key_Space)
    before = well.position_of(32, 32)
    drag(well, button, centre(well), centre(well) + QPoint(25, -15))
    assert (well.position_of(32, 32) - before).toPoint() == QPoint(25, -15)
    assert {other.view for other in wells(grid)} == {grid.view()}
    if button == LEFT:
        QTest.keyRelease(well, Qt.Key.Key_Space)
        assert well.cursor().shape() == Qt.CursorShape.CrossCursor


def test_control_drag_windows_on_a_box(grid, drag):
    well = grid.panel("zf").well
    told = []
    grid.levelsChanged.connect(lambda low, high: told.append((low, high)))
    drag(well, LEFT, well.position_of(10, 10).toPoint(), well.position_of(20, 12).toPoint(), CONTROL)
    assert len(told) == 1
    assert 1000 <= told[0][0] < told[0][1] <= 1300
    QTest.mouseClick(well, LEFT, CONTROL, centre(well))
    assert len(told) == 1, "a click is no box"


def test_double_click_maximises_and_restores(grid, qtbot):
    well = grid.panel("final").well
    told = []
    grid.panelMaximised.connect(told.append)
    QTest.mouseDClick(well, LEFT, pos=centre(well))
    assert grid.maximised() == "final"
    assert not grid.panel("zf").isVisible()
    image, error = grid.panel("final"), grid.error_panel("final")
    assert error.isVisible()
    assert image.well.size() == error.well.size()
    assert image.well.mapTo(grid, QPoint()).y() == error.well.mapTo(grid, QPoint()).y()
    QTest.mouseDClick(well, LEFT, pos=centre(well))
    assert grid.maximised() is None
    assert grid.panel("zf").isVisible()
    assert told == ["final", ""]


def test_gain_buttons_scale_the_error_maps(grid, qtbot):
    chooser = grid.findChild(type(grid.key.chooser), "errorGain")
    well = grid.error_panel("zf").well
    assert well.limits == (0.0, pytest.approx(6363 / 5))
    with qtbot.waitSignal(grid.errorGainChanged, timeout=1000) as caught:
        QTest.mouseClick(chooser.button(3), LEFT)
    assert caught.args == [10.0]
    assert well.limits == (0.0, pytest.approx(636.3))
    assert grid.key.title.text() == "|error| ×10"
    assert grid.key.bar.maximum() == pytest.approx(636.3)
    grid.set_error_gain(2)
    assert chooser.gain() == 2
    assert well.limits == (0.0, pytest.approx(3181.5))


# -- keys ----------------------------------------------------------------------------------------------------------


def test_keys_move_the_crosshair_page_and_maximise(grid):
    well = grid.panel("zf").well
    grid.set_flip(True)
    grid.set_probe(10, 10)
    steps = []
    grid.sliceStep.connect(steps.append)
    QTest.keyClick(well, Qt.Key.Key_Right, CONTROL)
    QTest.keyClick(well, Qt.Key.Key_Up, CONTROL)
    assert grid.probe() == (11, 11), "up on the screen is a higher row of a flipped image"
    QTest.keyClick(well, Qt.Key.Key_PageDown)
    assert steps == [-5]
    QTest.keyClick(well, Qt.Key.Key_Delete)
    assert grid.probe() is None
    QTest.keyClick(well, Qt.Key.Key_Return)
    assert grid.maximised() == "zf"


def test_tab_reaches_every_well_and_focus_is_seen(grid, qtbot):
    grid.activateWindow()
    first = grid.panel("zf").well
    plain = first.grab().toImage()
    first.setFocus()
    qtbot.waitUntil(first.hasFocus, timeout=2000)
    assert first.grab().toImage() != plain
    seen = []
    for _ in range(8):
        seen.append(QApplication.focusWidget())
        QTest.keyClick(QApplication.focusWidget(), Qt.Key.Key_Tab)
    assert set(wells(grid)) <= set(seen)
    assert grid.key.chooser.button(2) in seen
    assert all(widget.accessibleName() for widget in seen)


# -- setters -------------------------------------------------------------------------------------------------------


def test_setters_are_silent(grid):
    told = []
    for signal in (grid.levelsChanged, grid.probeMoved, grid.errorGainChanged, grid.panelMaximised, grid.viewChanged):
        signal.connect(lambda *_: told.append(True))
    grid.set_levels(1, 2)
    grid.set_probe(3, 4)
    grid.clear_probe()
    grid.set_error_gain(10)
    grid.maximise("zf")
    grid.maximise(None)
    grid.zoom_by(2)
    grid.zoom_to_content()
    grid.zoom_to_fit()
    assert told == []


def test_zoom_and_levels_survive_the_next_slice(grid):
    grid.zoom_by(3)
    grid.set_levels(10, 20)
    view = grid.view()
    for key in grid:
        grid.set_image(key, np.ones((64, 64), dtype=np.float32))
    assert {other.view for other in wells(grid)} == {view}
    assert grid.panel("zf").well.limits == (10, 20)


@pytest.mark.parametrize("size", [(770, 500), (730, 470), (1410, 820), (320, 240)])
@pytest.mark.parametrize("n_panels", [2, 6, 8])
def test_panels_line_up_to_the_pixel(qtbot, size, n_panels, ramp_image):
    grid = ImageGrid()
    qtbot.addWidget(grid)
    grid.resize(*size)
    keys = [str(number) for number in range(n_panels)]
    grid.set_panels([PanelSpec(key, "zero-filled", is_reference=key == keys[-1]) for key in keys])
    for key in keys:
        grid.set_image(key, ramp_image, "31.24 dB · 0.912")
        grid.set_error(key, ramp_image, "NMSE 0.0123")
    grid.show()
    images = [grid.panel(key) for key in keys]
    errors = [grid.error_panel(key) for key in keys[:-1]]
    assert grid.error_panel(keys[-1]) is None
    assert len({(panel.well.width(), panel.well.height()) for panel in (*images, *errors)}) == 1
    for image, error in zip(images, errors, strict=False):
        assert image.x() == error.x()
        assert not image.geometry().intersects(error.geometry())
    for panel in (*images, *errors, grid.key):
        assert grid.rect().contains(panel.geometry()), panel.geometry()
    assert grid.key.x() == images[-1].x()
    assert grid.key.isVisible()


def test_nothing_is_cut_with_six_columns_at_1280_by_800(qtbot, ramp_image):
    grid = ImageGrid()
    qtbot.addWidget(grid)
    grid.resize(730, 480)
    keys = ["zero-filled", "4x · 3/5", "2x", "1x", "final", "reference"]
    grid.set_panels([PanelSpec(key, key, is_reference=key == "reference") for key in keys])
    for key in keys:
        grid.set_image(key, ramp_image * 1e-7, "31.24 dB · 0.912")
        grid.set_error(key, ramp_image * 1e-8, "NMSE 0.0123")
    grid.set_data_range(6.3e-4)
    grid.set_probe(50, 50)
    grid.show()
    for key in keys:
        assert grid.panel(key).header.toolTip() == ""
        assert key == "reference" or grid.error_panel(key).footer.toolTip() == ""
        assert grid.panel(key).well.height() >= 100


def test_long_titles_are_elided_and_told_by_the_tool_tip(grid):
    grid.set_title("zf", "a very long name of a model that somebody trained on a rainy day in November")
    header = grid.panel("zf").header
    assert "rainy day" in header.toolTip()
    assert "a very long name" in header.accessibleName()


def test_error_row_hides_without_a_reference_and_the_images_grow(grid):
    before = grid.panel("zf").well.height()
    for key in ("zf", "final"):
        grid.set_error(key, None)
    assert not grid.has_error_row()
    assert not grid.key.isVisible()
    assert not grid.error_panel("zf").isVisible()
    assert grid.panel("zf").well.height() > 1.5 * before


def test_six_images_without_errors_use_two_bands(qtbot, ramp_image):
    grid = ImageGrid()
    qtbot.addWidget(grid)
    grid.resize(770, 500)
    grid.set_panels([PanelSpec(str(number), "x") for number in range(6)])
    for key in grid:
        grid.set_image(key, ramp_image)
    grid.show()
    assert len({grid.panel(key).y() for key in grid}) == 2
    assert grid.panel("0").well.height() > 200


def test_columns_can_change_while_images_stay(grid, qtbot):
    kept = grid.panel("final")
    grid.set_panels([PanelSpec("zf", "zero-filled"), PanelSpec("4x", "4x"), PanelSpec("final", "final")])
    assert grid.panel("final") is kept
    assert grid.keys() == ["zf", "4x", "final"]
    assert grid.panel("4x").well.image is None
    with pytest.raises(ValueError, match="different keys"):
        grid.set_panels([PanelSpec("a", "a"), PanelSpec("a", "b")])
    grid.set_panels([])
    assert grid.keys() == []
    grid.resize(400, 300)


def test_maximised_column_that_goes_away_is_restored(grid):
    grid.maximise("final")
    grid.set_panels([PanelSpec("zf", "zero-filled")])
    assert grid.maximised() is None
    assert grid.panel("zf").isVisible()


def test_messages_and_captions_reach_screen_readers(grid):
    grid.set_image("final", None)
    grid.set_message("final", "waiting")
    assert grid.panel("final").well.accessibleDescription() == "waiting"
    assert grid.panel("zf").well.accessibleDescription() == "31.24 dB · 0.912"
    assert grid.panel("zf").well.accessibleName() == "Image: zero-filled"


def test_clear_keeps_the_columns(grid):
    grid.set_probe(1, 1)
    grid.clear()
    assert grid.keys() == ["zf", "final", "reference"]
    assert grid.probe() is None
    assert all(well.image is None for well in wells(grid))


def test_eight_panes_refresh_at_least_thirty_times_a_second(qapp):
    # Time of this process, not of the wall clock: other work on the machine must not decide.
    assert measure_refresh(seconds=0.3, clock=time.process_time) >= 30
