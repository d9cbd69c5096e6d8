"""The window where there is little room, while something else runs, and after a cancel."""

from itertools import pairwise

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QStyle, QStyleOptionFrame, QToolButton, QWidget

from app import theme
from app.views.error_key import ErrorKey
from app.views.fields import FormScroll
from app.views.header_view import header_rows
from app.views.study_browser import shape_text

LEFT = Qt.MouseButton.LeftButton


def press(window, key):
    QTest.keyClick(QApplication.focusWidget() or window, key)


def test_the_recipe_is_never_cut_off_at_its_side(window, qtbot):
    scroll = window.recipe.findChild(FormScroll)

    def is_whole():
        bar = scroll.verticalScrollBar().sizeHint().width()
        return scroll.width() - bar >= scroll.widget().minimumSizeHint().width()

    window.resize(500, 500)
    window.resizeDocks([window.docks["recipe"]], [100], Qt.Orientation.Horizontal)
    qtbot.waitUntil(is_whole)
    window.resize(1280, 800)
    qtbot.waitUntil(is_whole)
    # A layout that was kept when the pane could be narrower.
    window.recipe.setMinimumWidth(100)
    QApplication.processEvents()
    window.resizeDocks([window.docks["recipe"]], [100], Qt.Orientation.Horizontal)
    qtbot.waitUntil(lambda: not is_whole())
    layout = window.saveState()
    window.recipe.setMinimumWidth(0)
    window.restoreState(layout)
    qtbot.waitUntil(is_whole)


def test_what_stands_for_no_seed_is_read_beside_a_scroll_bar(window, qtbot, reconstruct, child):
    reconstruct(window, qtbot)
    window.resize(1280, 500)
    bar = window.recipe.findChild(FormScroll).verticalScrollBar()
    qtbot.waitUntil(bar.isVisible)
    for name, text in (("seed", "file name"), ("centerFraction", "auto (0.08)"), ("acceleration", "12.25 ×")):
        field = child(window, name)
        if name == "acceleration":
            field.setValue(12.25)
            field = field.lineEdit()
        qtbot.waitUntil(lambda field=field, text=text: (field.text() or field.placeholderText()) == text)
        # The layout takes a turn of the event loop to follow the scroll bar.
        qtbot.waitUntil(lambda field=field, text=text: field.fontMetrics().horizontalAdvance(text) <= room_of(field))


def room_of(field):
    """Width for the text of a line edit."""
    option = QStyleOptionFrame()
    field.initStyleOption(option)
    room = field.style().subElementRect(QStyle.SubElement.SE_LineEditContents, option, field)
    return room.width() - field.textMargins().left() - 4


@pytest.mark.parametrize("size", [(960, 540), (100, 100)])
def test_a_small_window_is_small_and_cuts_nothing_through(window, qtbot, reconstruct, child, size):
    reconstruct(window, qtbot)
    window.resize(*size)
    # The layout grows again what was made too small, a turn of the event loop later.
    qtbot.waitUntil(lambda: window.height() >= window.minimumSizeHint().height())
    assert window.width() <= 960
    assert window.height() <= 520 or size == (960, 540)
    for gain in child(window, "errorGain").findChildren(QToolButton):
        assert not gain.isVisible() or gain.height() >= gain.sizeHint().height()
        assert gain.mapTo(window.grid.key, gain.rect().bottomLeft()).y() < window.grid.key.height()
    assert window.metrics.horizontalScrollBar().maximum() == 0
    assert window.metrics.columnWidth(0) >= window.metrics.sizeHintForColumn(0)
    # The long text of the status bar gives way to the others, and none lies on the next.
    labels = [label for label in window.status.labels.values() if label.isVisible()]
    places = [label.geometry() for label in (*labels, child(window, "status-research"))]
    assert all(left.right() < right.left() for left, right in pairwise(places))
    assert all(label.width() >= label.sizeHint().width() for label in labels if label.objectName() != "status-job")
    # What belongs together stands closer together than what does not.
    ends = [label.x() + label.fontMetrics().horizontalAdvance(label.text()) for label in labels[:-1]]
    assert all(place.x() - end >= 2 * theme.GAP for end, place in zip(ends, places[1:], strict=False))
    research = child(window, "status-research")
    assert research.width() - research.fontMetrics().horizontalAdvance(research.text()) <= 2  # ends at the edge
    job = window.status.labels["job"]
    assert job.text() == f"result {window.session.result.title}"
    assert job.toolTip().startswith(job.text())


def test_a_small_window_stays_as_it_is_when_its_study_is_closed_and_another_opened(window, qtbot):
    window.resize(960, 540)
    qtbot.waitUntil(lambda: window.height() >= window.minimumSizeHint().height())
    size, session = window.size(), window.session
    session.close_study(session.studies[0])
    session.open("/nowhere/disc.h5")
    qtbot.waitUntil(lambda: session.preview is not None, timeout=9000)
    QApplication.processEvents()
    assert window.size() == size


def test_the_key_of_errors_leaves_out_what_does_not_fit(qtbot):
    parent = QWidget()
    qtbot.addWidget(parent)
    key = ErrorKey(parent)
    parent.resize(120, 160)
    parent.show()
    seen = []
    for height in range(30, 140):
        key.resize(100, height)
        QApplication.processEvents()
        shown = [part for part in (key.title, key.bar, key.chooser) if part.isVisible()]
        assert all(part.geometry().bottom() < height for part in shown)
        assert all(part.height() >= part.sizeHint().height() for part in shown)
        if shown not in seen:
            seen.append(shown)
    title, bar, chooser = key.title, key.bar, key.chooser
    assert seen == [[bar], [title, bar], [bar, chooser], [title, bar, chooser]]


def test_what_runs_is_named_wherever_something_else_is_looked_at(window, engine, new_series, qtbot, child):
    window._may_close = lambda: True  # a failure must not end in a question
    session = window.session
    engine.gate.clear()
    QTest.mouseClick(child(window, "reconstructButton"), LEFT)
    qtbot.waitUntil(lambda: session.is_running)
    session.select(index=4)
    session.set_request(model="zero-filled")
    place, sentence = "PC-RNN-S on disc, slice 3 of 5", "PC-RNN-S is reconstructing slice 3 of disc"

    def is_said():
        window.grid_presenter.flush()
        window.stage_presenter.flush()
        job = window.status.labels["job"]
        wells = [window.grid.panel(key).well for key in window.grid if key not in ("zero-filled", "reference")]
        return (
            job.text() == f"running {place}"
            and job.toolTip().startswith(job.text())
            and wells
            and all(well.message == sentence for well in wells)
            and window.scrubber.accessibleDescription() == sentence
        )

    qtbot.waitUntil(is_said, timeout=20_000)
    engine.series["other.h5"] = new_series(name="other.h5")
    session.open("/nowhere/other.h5")
    qtbot.waitUntil(lambda: session.series.stem == "other" and session.preview is not None)
    qtbot.waitUntil(is_said, timeout=20_000)
    with qtbot.waitSignal(session.job_finished, timeout=20_000):
        engine.gate.set()
    qtbot.waitUntil(lambda: window.grid.panel("final").well.message == "Not reconstructed yet", timeout=20_000)
    qtbot.waitUntil(lambda: window.scrubber.accessibleDescription() == "No stages yet: press Reconstruct")
    assert "running" not in window.status.labels["job"].text()


def test_the_line_of_stages_takes_room_only_where_there_is_a_result(window, engine, new_series, qtbot, reconstruct):
    session, line = window.session, 40
    qtbot.waitUntil(lambda: window.scrubber.height() < line, timeout=20_000)
    reconstruct(window, qtbot)
    qtbot.waitUntil(lambda: window.scrubber.height() > 2 * line, timeout=20_000)
    QApplication.processEvents()
    height = window.scrubber.height()
    session.select(index=4)
    window.stage_presenter.flush()
    QApplication.processEvents()
    assert window.scrubber.stages() == []
    assert window.scrubber.height() == height
    engine.series["other.h5"] = new_series(name="other.h5")
    session.open("/nowhere/other.h5")
    qtbot.waitUntil(lambda: window.scrubber.height() < line, timeout=20_000)


def test_what_was_seen_of_a_cancelled_slice_stays_in_view(window, engine, qtbot, child):
    session = window.session
    engine.gate.clear()
    engine.n_free = 3
    press(window, Qt.Key.Key_F5)
    qtbot.waitUntil(lambda: session.slice_result is not None and len(session.slice_result.steps) == 3)
    press(window, Qt.Key.Key_Escape)
    engine.gate.set()
    qtbot.waitUntil(lambda: not session.is_running)
    window.grid_presenter.flush()
    window.stage_presenter.flush()
    assert window.grid.keys() == ["zero-filled", "4x", "2x", "final", "reference"]
    assert window.grid.panel("4x").title().startswith("4x · ")
    assert window.grid.panel("final").well.message == "Cancelled"
    assert len(window.scrubber.stages()) >= 3
    assert window.status.labels["job"].text().endswith("cancelled")
    assert child(window, "eta").text().startswith("cancelled after")
    assert not window.commands.by_name["export"].isEnabled()


def test_sizes_are_rows_by_columns_as_on_the_command_line(new_series):
    series = new_series(n_slices=1, size=(640, 372))
    assert shape_text(series) == "1 slice · 2 coils · 640 × 372"
    assert ("Image", "640 × 372") in header_rows(series)
