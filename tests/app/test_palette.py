"""The command palette, by key and mouse."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app import theme
from app.command_list import COMMANDS
from app.main_window import MainWindow
from app.views.command_palette import NOTHING, WIDTH

KEYS = (Qt.Key.Key_P, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)


def type_in(text):
    QTest.keyClicks(QApplication.focusWidget(), text)


def hit(key):
    QTest.keyClick(QApplication.focusWidget(), key)


def row_of(palette, title):
    return next(row for row in range(palette.list.count()) if palette.list.item(row).text() == title)


@pytest.fixture
def palette(window):
    window.grid.panel("final").well.setFocus()
    QTest.keyClick(window, *KEYS)
    palette = window.finder.palette
    assert palette.isVisible() and QApplication.focusWidget() is palette.field
    return palette


def test_words_and_enter_do_what_is_found_and_the_focus_goes_back(window, palette):
    well = window.grid.panel("final").well
    type_in("errmap")
    assert palette.shown()[0].title == "Error maps" and palette.shown()[0].shortcut == "D"
    assert window.session.view.shows_errors
    hit(Qt.Key.Key_Return)
    assert not window.session.view.shows_errors
    assert not palette.isVisible() and QApplication.focusWidget() is well


def test_every_command_is_found_by_its_own_name(window, palette):
    for command in COMMANDS:
        if command.identifier != "find":
            palette.field.setText(command.text)
            assert palette.shown()[0].key == f"command:{command.identifier}", command.text
    assert "command:find" not in {choice.key for choice in window.finder.choices()}


def test_keys_of_the_window_are_letters_here(window, palette):
    index, before = window.session.slice_index, window.session.view.component
    type_in("p")
    assert palette.field.text() == "p" and window.session.view.component is before
    for key, row in ((Qt.Key.Key_Down, 1), (Qt.Key.Key_Down, 2), (Qt.Key.Key_Up, 1), (Qt.Key.Key_Tab, 2)):
        hit(key)
        assert palette.list.currentRow() == row
    for key in (Qt.Key.Key_Backtab, Qt.Key.Key_Up, Qt.Key.Key_Up):
        hit(key)
    assert palette.list.currentRow() == palette.list.count() - 1  # around the end
    hit(Qt.Key.Key_PageUp)
    assert 0 < palette.list.currentRow() < palette.list.count() - 2
    QTest.keyClick(palette.field, Qt.Key.Key_E, Qt.KeyboardModifier.ControlModifier)
    assert window.session.slice_index == index and QApplication.activeModalWidget() is None
    assert palette.isVisible()


def test_escape_and_a_click_beside_it_only_close_it(window, palette, click):
    well, crosshair = window.grid.panel("final").well, window.session.view.crosshair
    hit(Qt.Key.Key_Escape)
    assert not palette.isVisible() and QApplication.focusWidget() is well
    QTest.keyClick(window, *KEYS)
    assert palette.isVisible() and palette.field.text() == ""
    outside = QPoint(palette.width() // 2, palette.height() - 60)
    assert window.childAt(outside) is palette  # images and panes are behind it
    click(palette, outside)
    assert not palette.isVisible() and QApplication.focusWidget() is well
    assert window.session.view.crosshair == crosshair
    # In its margin a click does nothing.
    QTest.keyClick(window, *KEYS)
    click(palette.panel, QPoint(3, 3))
    assert palette.isVisible()


def test_what_cannot_be_done_is_shown_and_does_nothing(window, palette, click):
    type_in("export")
    assert palette.shown()[0].title == "Export result…" and not palette.shown()[0].can_run
    item = palette.list.item(0)
    assert "cannot be done now" in item.data(Qt.ItemDataRole.AccessibleTextRole)
    hit(Qt.Key.Key_Return)
    click(palette.list.viewport(), palette.list.visualItemRect(item).center())
    assert palette.isVisible() and QApplication.activeModalWidget() is None
    type_in(" zzzz")
    assert palette.shown() == [] and palette.list.item(0).text() == NOTHING
    hit(Qt.Key.Key_Return)
    assert palette.isVisible()


def test_it_follows_what_can_be_done(window, palette, engine, qtbot):
    engine.gate.clear()
    type_in("cancel")
    assert not palette.shown()[0].can_run
    window.session.reconstruct()
    assert palette.shown()[0].can_run
    hit(Qt.Key.Key_Return)
    with qtbot.waitSignal(window.session.job_finished, timeout=5000) as finished:
        engine.gate.set()
    assert finished.args == ["partial"]


def test_a_click_takes_a_row_and_what_was_taken_comes_first(window, palette, click, tmp_path):
    first = palette.shown()[0].title
    row = palette.list.item(row_of(palette, "Crosshair"))
    palette.list.scrollToItem(row)
    click(palette.list.viewport(), palette.list.visualItemRect(row).center())
    assert not window.session.view.has_crosshair and not palette.isVisible()
    for words in ("grey values", "Scores"):
        QTest.keyClick(window, *KEYS)
        type_in(words)
        hit(Qt.Key.Key_Return)
    assert window.session.view.is_inverted
    QTest.keyClick(window, *KEYS)
    titles = [choice.title for choice in palette.shown()]
    assert titles[:4] == ["Scores", "Invert grey values", "Crosshair", first]
    hit(Qt.Key.Key_Escape)
    # Also after a restart.
    from app.session import Session

    again = Session(tmp_path / "config" / "settings.json", window.session._engine)
    assert again.settings.recent_choices == ("pane:metrics", "command:invert", "command:crosshair")
    again.close()


def test_models_series_and_panes_are_found(window, palette, qtbot, session, engine, new_series):
    type_in("model cs-tv")
    hit(Qt.Key.Key_Return)
    assert session.request.model == "cs-tv"
    QTest.keyClick(window, *KEYS)
    type_in("oucr")
    assert not palette.shown()[0].can_run  # it has no weights
    hit(Qt.Key.Key_Return)
    assert session.request.model == "cs-tv"
    hit(Qt.Key.Key_Escape)
    engine.series["knee.h5"] = new_series(name="knee.h5")
    session.open("/nowhere/knee.h5", is_shown=False)
    qtbot.waitUntil(lambda: len(session.studies) == 2, timeout=5000)
    QTest.keyClick(window, *KEYS)
    type_in("knee")
    assert palette.shown()[0].group == "Series"
    hit(Qt.Key.Key_Return)
    assert session.series.name == "knee.h5"
    assert not any(key.startswith("series") for key in session.settings.recent_choices)
    window.docks["profile"].close()
    for words in ("profile", "training panes"):
        QTest.keyClick(window, *KEYS)
        type_in(words)
        hit(Qt.Key.Key_Return)
    assert not window.profile.visibleRegion().isEmpty() and window.docks["training"].isVisible()
    QTest.keyClick(window, *KEYS)
    type_in("reset layout")
    hit(Qt.Key.Key_Return)
    assert window.docks["training"].isHidden()


def test_a_command_that_opens_something_keeps_the_focus_there(window, palette):
    type_in("choose a model")
    hit(Qt.Key.Key_Return)
    popup = window.recipe.model.popup()
    assert popup.isVisible()
    popup.hide()
    QTest.keyClick(window, *KEYS)
    type_in("settings")
    hit(Qt.Key.Key_Return)
    assert QApplication.activeModalWidget().objectName() == "settingsDialog"
    QApplication.activeModalWidget().reject()


@pytest.mark.parametrize("size", [(1280, 800), (700, 360), (1920, 1080)])
def test_it_is_in_the_middle_at_the_top_of_a_window_of_any_size(window, palette, size):
    window.resize(*size)
    QApplication.processEvents()
    panel = palette.panel.geometry()
    assert palette.geometry() == window.rect()
    assert abs(panel.center().x() - window.width() / 2) < 2
    assert window.menuBar().geometry().bottom() < panel.top() < 60
    assert panel.bottom() < window.height() and panel.width() == min(WIDTH, window.width() - 16)
    assert palette.list.geometry().bottom() < panel.height() and palette.list.height() > 20
    last = palette.list.item(palette.list.count() - 1)
    hit(Qt.Key.Key_Up)
    assert palette.list.viewport().rect().contains(palette.list.visualItemRect(last))


@pytest.mark.parametrize("name", ["dark", "light"])
def test_its_colours_can_be_read_in_both_themes(window, palette, qapp, name):
    theme.apply(qapp, name)
    colours = theme.colours()
    seen = palette.list.viewport().grab().toImage()
    here = palette.list.visualItemRect(palette.list.item(0))
    there = palette.list.visualItemRect(palette.list.item(1))
    assert seen.pixelColor(here.center()).name() == colours.selection
    assert seen.pixelColor(there.center()).name() == colours.window
    for ink, ground in ((colours.text, colours.selection), (colours.text, colours.window)):
        assert theme.contrast(ink, ground) > 4.5
    assert theme.contrast(colours.muted, colours.window) > 4.5
    inks = {seen.pixelColor(x, y).name() for x in range(here.width()) for y in range(here.top(), here.bottom())}
    assert colours.text in inks and colours.muted not in inks


def test_before_a_study_is_open_it_opens_one(session, qtbot):
    window = MainWindow(session)
    qtbot.addWidget(window)
    window.show()
    QTest.qWaitForWindowActive(window)
    QTest.keyClick(window, *KEYS)
    choices = {choice.title: choice for choice in window.finder.palette.shown()}
    assert not choices["Scores"].can_run and not choices["Reset layout"].can_run
    type_in("demo")
    hit(Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: session.series is not None, timeout=5000)
    assert not window.finder.palette.isVisible()


def test_the_menu_opens_it_and_a_widget_that_is_gone_gets_no_focus(window, qtbot):
    well = window.grid.panel("final").well
    well.setFocus()
    window.commands.by_name["find"].trigger()
    palette = window.finder.palette
    assert palette.isVisible()
    window.grid.set_panels([])  # its wells are deleted
    QApplication.sendPostedEvents(None, 52)  # DeferredDelete
    hit(Qt.Key.Key_Escape)
    assert not palette.isVisible() and QApplication.focusWidget() is not palette.field
