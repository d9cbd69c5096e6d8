"""What the user changed last is taken back and done again, by real keys in a real window."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from app.views.region import Region

CONTROL = Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier


@pytest.fixture(autouse=True)
def settled(window, session, qtbot):
    """Begin when the slice is read and the start is over."""
    qtbot.waitUntil(lambda: session.preview is not None and session.mask is not None, timeout=9000)
    settle(session)


def settle(session):
    session.history._settle()


def undo(window):
    QTest.keyClick(window, Qt.Key.Key_Z, CONTROL)


def undo_in(field):
    QTest.keyClick(field, Qt.Key.Key_Z, CONTROL)


def redo(window):
    QTest.keyClick(window, Qt.Key.Key_Z, CONTROL | SHIFT)


def test_nothing_was_changed_at_the_start(window, session):
    for name in ("undo", "redo"):
        assert not window.commands.by_name[name].isEnabled()
    assert window.commands.by_name["undo"].text() == "Undo"


def test_changes_of_the_recipe_are_taken_back_one_by_one_and_done_again(window, session):
    asked = [session.request]
    for changes in ({"acceleration": 6}, {"model": "cs-tv"}, {"seed": 3, "kind": "random"}):
        assert session.set_request(**changes)
        settle(session)
        asked.append(session.request)
    assert window.commands.by_name["undo"].text() == "Undo recipe"
    for request in reversed(asked[:-1]):
        undo(window)
        assert session.request == request
    assert not window.commands.by_name["undo"].isEnabled()
    assert window.commands.by_name["redo"].text() == "Redo recipe"
    for request in asked[1:]:
        redo(window)
        assert session.request == request
    undo(window)
    # A change after that is another way on.
    assert session.set_request(acceleration=8)
    settle(session)
    assert not window.commands.by_name["redo"].isEnabled()
    undo(window)
    assert session.request == asked[2]


def test_what_comes_close_together_is_one_change(window, session, qtbot):
    before = session.view.levels
    for step in range(20):
        session.view.set_levels(0.0, 1.0 + step / 10)
    # The newest change can be taken back before it settled, and settles by itself.
    assert session.history.undoes == "window"
    qtbot.waitUntil(lambda: not session.history._settling.isActive(), timeout=5000)
    assert window.commands.by_name["undo"].text() == "Undo window"
    session.view.set_levels(0.0, 9.0)
    undo(window)
    assert session.view.levels == (0.0, 2.9)
    undo(window)
    assert session.view.levels == before and session.view.preset == "matched"
    assert window.grid.levels() == before
    redo(window)
    redo(window)
    assert session.view.levels == (0.0, 9.0) and window.grid.levels() == (0.0, 9.0)


def test_a_region_comes_back(window, session):
    for region in (Region(2, 3, 9, 8), None):
        session.view.set_region(region)
        settle(session)
    undo(window)
    assert session.view.region == Region(2, 3, 9, 8)
    well = window.grid.panel("zero-filled").well
    assert well._region == session.view.region
    undo(window)
    assert session.view.region is None and well._region is None


def test_looking_around_is_no_change(window, session, qtbot):
    for key in (Qt.Key.Key_P, Qt.Key.Key_M, Qt.Key.Key_X, Qt.Key.Key_Up, Qt.Key.Key_D, Qt.Key.Key_Plus):
        QTest.keyClick(window, key)
    qtbot.waitUntil(lambda: session.preview is not None, timeout=9000)
    settle(session)
    assert not session.history.undoes


def test_windows_are_those_of_their_series_and_recipes_are_of_all(window, session, engine, new_series, qtbot):
    engine.series["knee.h5"] = new_series(name="knee.h5", n_slices=4)
    first = session.series
    session.view.set_levels(0.0, 3.0)
    session.view.set_region(Region(2, 3, 9, 8))
    settle(session)
    assert session.set_request(acceleration=6)
    session.open(["knee.h5"])
    qtbot.waitUntil(lambda: session.series is not first and session.preview is not None, timeout=9000)
    settle(session)
    shown = session.view.levels
    # The window of the other series is no change of this one, nor of the other again: it was left.
    assert window.commands.by_name["undo"].text() == "Undo recipe"
    session.select(first)
    qtbot.waitUntil(lambda: session.preview is not None, timeout=9000)
    settle(session)
    undo(window)
    assert session.request.mask.acceleration != 6 and session.view.levels == shown and session.view.region is None
    assert not window.commands.by_name["undo"].isEnabled()
    redo(window)
    assert session.request.mask.acceleration == 6 and session.view.levels == shown


def test_a_preset_that_changed_its_meaning_is_not_named(window, session):
    for high in (2.0, 1.0):
        session.view.set_levels(0.0, high)
        QTest.keyClick(window, Qt.Key.Key_K)
        settle(session)
    assert session.view.preset == "user"
    undo(window)
    assert session.view.levels == (0.0, 2.0) and session.view.preset is None


def test_what_is_typed_is_the_fields_until_it_is_taken(window, session, child):
    field = child(window, "centerFraction")
    assert session.set_request(acceleration=6)
    settle(session)
    field.setFocus()
    QTest.keyClicks(field, "0.1")
    undo_in(field)
    assert field.text() != "0.1" and session.request.mask.acceleration == 6
    field.selectAll()
    QTest.keyClicks(field, "0.1")
    QTest.keyClick(field, Qt.Key.Key_Return)
    assert session.request.mask.center_fraction == 0.1 and field.hasFocus()
    undo_in(field)
    assert session.request.mask.center_fraction is None and field.text() == ""
    undo_in(field)
    assert session.request.mask.acceleration != 6


def test_an_acceleration_that_was_typed_is_taken_back_where_it_was_typed(window, session, child):
    field = child(window, "acceleration")
    before = session.request.mask.acceleration
    field.setFocus()
    field.lineEdit().selectAll()
    QTest.keyClicks(field, "6")
    QTest.keyClick(field, Qt.Key.Key_Return)
    assert session.request.mask.acceleration == 6
    undo_in(field)
    assert session.request.mask.acceleration == before and field.value() == before


def test_a_parameter_is_taken_back_and_the_panel_says_so(window, session, child, qtbot):
    assert session.set_request(model="cs-tv")
    qtbot.waitUntil(lambda: bool(session.recipe.parameters), timeout=9000)
    settle(session)
    field = child(window, "parameter-lambda_")
    before = field.text()
    field.setFocus()
    field.selectAll()
    QTest.keyClicks(field, "0.5")
    QTest.keyClick(field, Qt.Key.Key_Return)
    assert session.request.overrides == {"lambda_": 0.5}
    undo_in(field)
    assert session.request.overrides == {} and field.text() == before


@pytest.mark.parametrize(
    ("name", "valid", "refused"),
    [("centerFraction", "0.2", "7"), ("seed", "5", "five"), ("parameter-lambda_", "2", "0")],
)
def test_a_refused_value_is_taken_back_before_the_change_before_it(window, session, child, qtbot, name, valid, refused):
    assert session.set_request(model="cs-tv", kind="random")
    qtbot.waitUntil(lambda: bool(session.recipe.parameters), timeout=9000)
    settle(session)
    field, usual, action = child(window, name), child(window, name).text(), window.commands.by_name["undo"]
    asked = [session.request]
    for text in (valid, refused):
        field.setFocus()
        field.selectAll()
        QTest.keyClicks(field, text)
        QTest.keyClick(field, Qt.Key.Key_Return)
        settle(session)
        asked.append(session.request)
    assert session.recipe.is_refused and session.problem and asked[1] == asked[2] != asked[0]
    assert action.isEnabled() and action.text() == "Undo recipe"
    action.trigger()
    assert field.text() == valid and session.request == asked[1] and session.problem == ""
    action.trigger()
    assert field.text() == usual and session.request == asked[0]
    redo(window)
    assert field.text() == valid and session.request == asked[1]


def test_history_does_not_grow_for_ever(session):
    for step in range(130):
        session.view.set_levels(0.0, 1.0 + step)
        settle(session)
    assert len(session.history._done) == 100
