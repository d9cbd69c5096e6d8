"""The window on a session: names, layout, keys, recipe, reconstruction, looks."""

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QKeySequence
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QDockWidget, QLabel, QPushButton, QTabBar, QWidget

from app.command_list import COMMANDS
from app.main_window import MainWindow

LEFT = Qt.MouseButton.LeftButton
NAMES = [
    "studyBrowser",
    "maskType",
    "acceleration",
    "centerFraction",
    "seed",
    "modelChoice",
    "deviceChoice",
    "reconstructButton",
    "cancelButton",
    "imageGrid",
    "stageScrubber",
    "errorGain",
    "metricsTable",
    "maskPreview",
    "kspaceView",
    "progressBar",
    "trainingMonitor",
]


def press(window, key, modifier=Qt.KeyboardModifier.NoModifier):
    QTest.keyClick(QApplication.focusWidget() or window, key, modifier)


# ---------------------------------------------------------------- names and start page


def test_every_named_widget_is_there_as_soon_as_the_window_is(session, qtbot):
    window = MainWindow(session)
    qtbot.addWidget(window)
    window.show()
    QApplication.processEvents()
    names = {widget.objectName() for widget in window.findChildren(QWidget)}
    assert set(NAMES) <= names


def test_before_a_study_there_is_only_the_start_page(session, qtbot, child):
    window = MainWindow(session)
    qtbot.addWidget(window)
    window.show()
    qtbot.waitExposed(window)
    assert window.start_page.isVisible()
    assert not any(dock.isVisible() for dock in window.findChildren(QDockWidget))
    assert "research use only" in child(window, "researchUse").text().lower()
    for name in ("openFile", "openFolder", "openDemo"):
        button = child(window, "demoButton" if name == "openDemo" else f"{name}Button")
        assert button.text() == window.commands.by_name[name].text()


def test_recent_studies_open_by_a_click(session, qtbot):
    session.change_settings(recent=("/nowhere/disc.h5",))
    window = MainWindow(session)
    qtbot.addWidget(window)
    window.show()
    qtbot.waitExposed(window)
    rows = [button for button in window.start_page.findChildren(QPushButton) if "disc.h5" in button.accessibleName()]
    QTest.mouseClick(rows[0], LEFT)
    qtbot.waitUntil(lambda: window.grid.isVisible())
    assert not window.start_page.isVisible()


@pytest.mark.parametrize("target", ["window", "drop zone"])
def test_dropped_files_open(session, qtbot, target):
    window = MainWindow(session)
    qtbot.addWidget(window)
    window.show()
    widget = window if target == "window" else window.start_page.drop_zone
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile("/nowhere/disc.h5")])
    copy, none = Qt.DropAction.CopyAction, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPoint(5, 5), copy, data, LEFT, none)
    QApplication.sendEvent(widget, enter)
    assert enter.isAccepted()
    QApplication.sendEvent(widget, QDropEvent(QPointF(5, 5), copy, data, LEFT, none))
    qtbot.waitUntil(lambda: session.series is not None)


def test_closing_the_study_returns_to_the_start_page(window, qtbot):
    press(window, Qt.Key.Key_W, Qt.KeyboardModifier.ControlModifier)
    assert window.start_page.isVisible()
    assert not any(dock.isVisible() for dock in window.docks.values())


# ---------------------------------------------------------------- layout


@pytest.mark.parametrize("size", [(1280, 800), (1920, 1080)])
def test_nothing_is_clipped_and_the_grid_has_room(window, qtbot, child, size):
    window.resize(*size)
    QApplication.processEvents()
    assert window.grid.width() >= 760
    for name in NAMES:
        widget = child(window, name)
        if widget.isVisible():
            corner = widget.mapTo(window, QPoint(widget.width(), widget.height()))
            assert corner.x() <= window.width(), name
            assert corner.y() <= window.height(), name
    for label in window.recipe.findChildren(QLabel):
        if label.isVisible() and label.text() and not label.wordWrap():
            assert label.width() >= label.sizeHint().width(), label.text()
    for button in window.recipe.findChildren(QPushButton):
        assert button.width() >= button.minimumSizeHint().width(), button.text()


def test_the_layout_is_kept_and_can_be_reset(window, qtbot, engine, tmp_path):
    window.docks["log"].close()
    window.docks["kspace"].close()
    window.close()
    stored = window.session.settings.layout
    assert stored
    window.reset_layout()
    assert not window.docks["kspace"].isHidden()


def test_a_reset_leaves_no_tabs_behind(window, qtbot):
    def bars():
        found = window.findChildren(QTabBar, options=Qt.FindChildOption.FindDirectChildrenOnly)
        return [bar for bar in found if bar.isVisible()]

    window.resizeDocks([window.docks["metrics"]], [420], Qt.Orientation.Vertical)
    window.resizeDocks([window.docks["metrics"], window.docks["header"]], [700, 200], Qt.Orientation.Horizontal)
    QApplication.processEvents()
    for _ in range(2):
        window.reset_layout()
        qtbot.waitUntil(lambda: len(bars()) == 1, timeout=5000)
        QApplication.processEvents()
    assert [bars()[0].tabText(place) for place in range(2)] == ["Header", "Region"]
    assert bars()[0].geometry().left() >= window.docks["header"].geometry().left()


# ---------------------------------------------------------------- keys


def test_shortcuts_are_unique():
    keys = [QKeySequence(key).toString() for command in COMMANDS for key in command.keys]
    assert len(keys) == len(set(keys))
    assert all(keys)


@pytest.mark.parametrize("focus", ["seriesList", "reconstructButton", "stageScrubber", None])
def test_slice_keys_work_wherever_the_focus_is(window, qtbot, child, focus):
    if focus is not None:
        child(window, focus).setFocus()
    session = window.session
    for key, index in (
        (Qt.Key.Key_Up, 3),
        (Qt.Key.Key_Down, 2),
        (Qt.Key.Key_PageUp, 4),
        (Qt.Key.Key_Home, 0),
        (Qt.Key.Key_PageDown, 0),
        (Qt.Key.Key_End, 4),
    ):
        press(window, key)
        assert session.slice_index == index, key


def test_letters_and_arrows_belong_to_the_field_that_is_typed_in(window, qtbot, child):
    seed = child(window, "seed")
    seed.setFocus()
    gain = window.session.view.error_gain
    QTest.keyClicks(seed, "12e")
    assert seed.text() == "12e"
    assert window.session.view.error_gain == gain
    acceleration = child(window, "acceleration")
    acceleration.setFocus()
    index = window.session.slice_index
    QTest.keyClick(acceleration, Qt.Key.Key_Up)
    assert window.session.slice_index == index
    assert window.session.request.mask.acceleration == 5


def test_view_keys(window, qtbot, reconstruct):
    reconstruct(window, qtbot)
    view = window.session.view
    press(window, Qt.Key.Key_E)
    assert view.error_gain == 10
    assert window.grid.error_gain() == 10
    press(window, Qt.Key.Key_D)
    window.grid_presenter.flush()
    assert not window.grid.has_error_row()
    press(window, Qt.Key.Key_D)
    press(window, Qt.Key.Key_N)
    assert view.is_inverted
    press(window, Qt.Key.Key_G)
    window.grid_presenter.flush()
    assert window.grid.keys() == ["zero-filled", "final", "reference"]
    press(window, Qt.Key.Key_G)
    press(window, Qt.Key.Key_3)
    assert view.preset == "soft"
    press(window, Qt.Key.Key_1)
    assert view.preset == "matched"


def test_the_zoom_that_is_shown_follows_the_keys(window):
    window.grid.setFocus()
    press(window, Qt.Key.Key_Plus)
    assert window.grid.view().zoom == pytest.approx(1.25)
    assert window.status.labels["zoom"].text() == "zoom 125%"
    press(window, Qt.Key.Key_Equal)
    assert window.grid.view().zoom == 1
    assert window.status.labels["zoom"].text() == "zoom 100%"


def test_help_is_the_last_menu(window):
    titles = [action.text() for action in window.menuBar().actions()]
    assert titles == ["File", "Edit", "View", "Window/level", "Reconstruct", "Panes", "Help"]


def test_alt_wheel_over_an_image_turns_the_coil(window, qtbot):
    qtbot.waitUntil(lambda: window.kspace.coil_slider.maximum() > 0, timeout=20_000)
    window.grid.coilStep.emit(1)
    assert window.kspace.coil() == 1


def test_iteration_keys_move_the_scrubber_and_the_column(window, qtbot, reconstruct):
    reconstruct(window, qtbot)
    press(window, Qt.Key.Key_Left)
    press(window, Qt.Key.Key_Left)
    window.grid_presenter.flush()
    window.stage_presenter.flush()
    assert window.scrubber.position() == 3
    assert window.grid.panel("2x").title() == "2x · 1/2"
    press(window, Qt.Key.Key_Right, Qt.KeyboardModifier.ShiftModifier)
    window.grid_presenter.flush()
    assert window.grid.panel("2x").title() == "2x"


# ---------------------------------------------------------------- recipe


def test_the_recipe_changes_the_request(window, qtbot, child):
    session = window.session
    mask_type = child(window, "maskType")
    mask_type.setFocus()
    index = mask_type.findData("random")
    while mask_type.currentIndex() != index:
        QTest.keyClick(mask_type, Qt.Key.Key_Up)
    mask_type.activated.emit(index)
    seed, fraction = child(window, "seed"), child(window, "centerFraction")
    for field, text in ((seed, "7"), (fraction, "0.1")):
        field.setFocus()
        QTest.keyClicks(field, text)
        QTest.keyClick(field, Qt.Key.Key_Return)
    assert session.request.mask.kind == "random"
    assert session.request.mask.seed == 7
    assert session.request.mask.center_fraction == 0.1
    qtbot.waitUntil(lambda: "effective" in window.mask_preview.text())


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [("centerFraction", "0.5", "leaves no"), ("seed", "abc", "Seed"), ("virtualCoils", "0", "coil")],
)
def test_an_impossible_recipe_is_said_in_place_and_stops_the_button(window, qtbot, child, name, text, word):
    field = child(window, name)
    field.setFocus()
    field.setText(text)
    QTest.keyClick(field, Qt.Key.Key_Tab)
    problem, button = child(window, "recipeProblem"), child(window, "reconstructButton")
    assert word in problem.text()
    assert problem.isVisible()
    assert not button.isEnabled()
    # What was refused is still there to be put right, also when the field is left.
    assert field.text() == text
    field.setFocus()
    field.clear()
    QTest.keyClick(field, Qt.Key.Key_Return)
    assert not problem.isVisible()
    assert button.isEnabled()


def test_numbers_that_decide_nothing_cannot_be_typed(window, child):
    names = ("acceleration", "centerFraction", "seed")
    assert all(child(window, name).isEnabled() for name in names)
    window.session.set_request(kind="none")
    assert not any(child(window, name).isEnabled() for name in names)
    window.session.set_request(kind="random")
    assert all(child(window, name).isEnabled() for name in names)


def test_full_sampling_is_said_in_words(window, qtbot):
    window.session.set_request(kind="none")
    qtbot.waitUntil(lambda: window.mask_preview.text() == "All samples are kept.", timeout=20_000)


def test_the_description_is_cut_only_where_there_is_no_room(window, qtbot):
    words = "a network that says a good deal about itself and about others"
    text = f"This is {words}, and then {words} again. More is in the card."
    window.resize(1280, 1000)
    window.recipe.set_summary(text)
    qtbot.waitUntil(lambda: window.recipe.summary.text() == text.split(". ")[0] + ".", timeout=20_000)
    window.resize(1280, 640)
    qtbot.waitUntil(lambda: window.recipe.summary.text().endswith("…"), timeout=20_000)
    assert window.recipe.summary.toolTip() == text


def test_an_acceleration_out_of_range_comes_back_with_a_sentence(window, child):
    acceleration = child(window, "acceleration")
    acceleration.setFocus()
    acceleration.selectAll()
    QTest.keyClicks(acceleration, "99")
    QTest.keyClick(acceleration, Qt.Key.Key_Return)
    assert acceleration.text() == "4 ×"
    assert "1 to 32" in window.banner.text
    assert child(window, "reconstructButton").isEnabled()


def test_models_stand_under_headings_and_those_without_weights_are_grey(window, child):
    combo = child(window, "modelChoice")
    items = [combo.model().item(row) for row in range(combo.count())]
    by_name = {item.data(Qt.ItemDataRole.UserRole): item for item in items}
    assert [item.text() for item in items if item.data(Qt.ItemDataRole.UserRole) is None] == [
        "Classical",
        "PC-RNN",
        "OUCR",
    ]
    assert by_name["pcrnn-s"].isEnabled()
    assert not by_name["oucr"].isEnabled()
    assert "no weights" in by_name["oucr"].toolTip()
    assert combo.currentData() == "pcrnn-s"


def test_a_scan_with_its_own_mask_shows_it_and_disables_the_fields(
    window, engine, new_series, qtbot, child, reconstruct
):
    own = new_series(name="own.h5", acquired_mask=(window.session.preview.mask.mask.copy()), has_reference=False)
    engine.series["own.h5"] = own
    window.session.open("/nowhere/own.h5")
    qtbot.waitUntil(lambda: window.session.series is own and window.session.preview is not None)
    assert not child(window, "maskType").isEnabled()
    assert not child(window, "acceleration").isEnabled()
    assert child(window, "ownMask").isVisible()
    window.grid_presenter.flush()
    assert window.grid.keys() == ["zero-filled", "final"]
    assert window.metrics.rowCount() == 0
    # Without a reference, too, there is something to say of an image: how far it is from what was measured.
    reconstruct(window, qtbot)
    rows = [[window.metrics.item(line, column).text() for column in (0, 1, 4)] for line in range(3)]
    assert rows[0] == ["Zero-filled", "–", "0.000"] and rows[1][2] == "0.125"


def test_devices_are_listed_once_they_are_known(window, qtbot, child):
    combo = child(window, "deviceChoice")
    qtbot.waitUntil(lambda: combo.findData("cuda:0") >= 0)
    assert combo.currentData() == "auto"


# ---------------------------------------------------------------- reconstruction


def test_columns_appear_live_and_stay(window, engine, qtbot, child):
    session = window.session
    engine.gate.clear()
    engine.n_free = 3
    QTest.mouseClick(child(window, "reconstructButton"), LEFT)
    qtbot.waitUntil(lambda: session.slice_result is not None and len(session.slice_result.steps) == 3)
    window.grid_presenter.flush()
    assert window.grid.keys() == ["zero-filled", "4x", "2x", "final", "reference"]
    assert window.grid.panel("4x").title() == "4x · 2"
    assert window.grid.panel("4x").well.image is not None
    assert window.grid.panel("2x").well.image is None
    assert child(window, "cancelButton").isEnabled()
    assert child(window, "reconstructButton").text() == "Queue slice"
    assert child(window, "progressBar").value() == 500
    with qtbot.waitSignal(session.job_finished, timeout=10_000):
        engine.gate.set()
    window.grid_presenter.flush()
    assert window.grid.panel("4x").title() == "4x"
    assert "31.0 dB" in window.grid.panel("final").caption()
    assert child(window, "reconstructButton").text() == "Reconstruct slice"
    assert child(window, "reconstructButton").isEnabled()
    assert not child(window, "cancelButton").isEnabled()


def test_the_row_of_errors_stays_while_a_slice_is_read(window, engine, qtbot, reconstruct):
    reconstruct(window, qtbot)
    assert window.grid.has_error_row()
    engine.preview_delay_s = 0.3
    window.session.set_request(kind="random", seed=5)
    window.session.select(index=4)
    window.grid_presenter.refresh()
    assert window.session.preview is None
    assert window.grid.has_error_row()
    qtbot.waitUntil(lambda: window.session.preview is not None, timeout=20_000)


def test_slices_without_a_result_say_so(window, qtbot, reconstruct):
    reconstruct(window, qtbot)
    press(window, Qt.Key.Key_Up)
    qtbot.waitUntil(lambda: window.session.preview is not None)
    window.grid_presenter.flush()
    assert window.grid.panel("final").well.image is None
    assert window.grid.panel("zero-filled").well.image is not None
    press(window, Qt.Key.Key_Down)
    window.grid_presenter.flush()
    assert window.grid.panel("final").well.image is not None


def test_escape_cancels(window, engine, qtbot):
    engine.gate.clear()
    press(window, Qt.Key.Key_F5)
    assert window.session.is_running
    press(window, Qt.Key.Key_Escape)
    engine.gate.set()
    qtbot.waitUntil(lambda: not window.session.is_running)
    assert "Cancelled" in window.banner.text


def test_the_table_has_slice_and_volume_scores(window, qtbot, child):
    with qtbot.waitSignal(window.session.job_finished, timeout=30_000):
        QTest.mouseClick(child(window, "volumeButton"), LEFT)
    window.stage_presenter.flush()
    text = window.metrics.as_text()
    assert "Volume" in text
    assert "2x" in text


def test_gestures_in_the_grid_reach_the_session(window, qtbot):
    well = window.grid.panel("reference").well
    centre = well.rect().center()
    QTest.mouseClick(well, LEFT, Qt.KeyboardModifier.NoModifier, centre)
    assert window.session.view.crosshair is not None
    assert "reference" in window.status.labels["probe"].text()
    before = window.session.view.levels
    QTest.mousePress(well, Qt.MouseButton.RightButton, Qt.KeyboardModifier.NoModifier, centre)
    QTest.mouseMove(well, centre + QPoint(40, 0))
    QTest.mouseRelease(well, Qt.MouseButton.RightButton, Qt.KeyboardModifier.NoModifier, centre + QPoint(40, 0))
    low, high = window.session.view.levels
    assert high - low > before[1] - before[0]
    assert window.session.view.preset is None
    assert "manual" in window.status.labels["levels"].text()


def test_the_status_bar_says_that_the_view_is_flipped(window):
    assert window.status.labels["flip"].text().startswith("view: flipped ↕")
    assert "slice 3/5" in window.status.labels["slice"].text()


# ---------------------------------------------------------------- looks


@pytest.mark.parametrize("choice", ["dark", "light"])
def test_both_themes_paint(window, qtbot, choice):
    window.session.change_settings(theme=choice)
    QApplication.processEvents()
    background = window.grab().toImage().pixelColor(window.width() - 3, window.height() - 3).lightness()
    assert (background < 80) == (choice == "dark")


def test_the_title_never_shows_a_file_name(window):
    assert "disc" not in window.windowTitle()


def test_a_window_on_a_session_that_nobody_started_lists_the_models(session, engine, qtbot, child):
    from app.main_window import MainWindow

    window = MainWindow(session)
    qtbot.addWidget(window)
    assert child(window, "modelChoice").count() == 0
    window.show()
    qtbot.waitUntil(lambda: child(window, "modelChoice").count() > 0, timeout=5000)
