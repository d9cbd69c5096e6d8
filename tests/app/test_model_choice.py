"""Choosing a model and its weights: with the mouse and the keys of a person."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.views.model_card import card_html, short_reason
from recon.models import get_card


@pytest.fixture
def popup(window, child, click):
    """Give the list of models, opened by a click on the box."""
    click(child(window, "modelChoice"))
    popup = window.recipe.model.popup()
    assert popup.isVisible()
    yield popup
    popup.hide()


def row_of(popup, name):
    model = popup.list.model()
    index = next(
        model.index(row, 0)
        for row in range(model.rowCount())
        if model.index(row, 0).data(Qt.ItemDataRole.UserRole) == name
    )
    popup.list.scrollTo(index)
    return popup.list.visualRect(index).center()


def headings(popup):
    model = popup.list.model()
    indices = [model.index(row, 0) for row in range(model.rowCount())]
    return [index.data() for index in indices if index.data(Qt.ItemDataRole.UserRole) is None]


def test_the_list_opens_under_headings_on_the_model_in_use(popup):
    assert headings(popup) == ["Classical", "PC-RNN", "OUCR"]
    assert popup.names() == ["zero-filled", "cs-tv", "pcrnn-s", "oucr"]
    assert popup.current().card.name == "pcrnn-s"
    assert popup.search.hasFocus()
    assert "PC-RNN-S" in popup.card.toPlainText()


def test_a_click_takes_a_model(window, popup, child, click):
    click(popup.list.viewport(), row_of(popup, "cs-tv"))
    assert not popup.isVisible()
    assert window.session.request.model == "cs-tv"
    assert child(window, "modelChoice").currentData() == "cs-tv"


def test_typing_searches_names_papers_and_descriptions(popup):
    QTest.keyClicks(popup.search, "on cs")
    assert popup.names() == ["cs-tv"]
    assert headings(popup) == ["Classical"]
    assert popup.current().card.name == "cs-tv"
    popup.search.clear()
    QTest.keyClicks(popup.search, "spline")
    assert popup.names() == []
    assert headings(popup) == ["No model has these words"]
    assert popup.card.toPlainText() == ""
    popup.search.clear()
    assert len(popup.names()) == 4
    assert headings(popup) == ["Classical", "PC-RNN", "OUCR"]


def test_keys_search_walk_and_take(window, popup):
    for _ in range(2):
        QTest.keyClick(popup.search, Qt.Key.Key_Up)
    assert popup.current().card.name == "zero-filled"
    QTest.keyClick(popup.search, Qt.Key.Key_Down)
    QTest.keyClick(popup.search, Qt.Key.Key_Return)
    assert window.session.request.model == "cs-tv"
    assert not popup.isVisible()


def test_a_letter_opens_the_list_from_anywhere_and_escape_closes_it(window, child):
    QTest.keyClick(child(window, "stageScrubber"), Qt.Key.Key_M, Qt.KeyboardModifier.ControlModifier)
    popup = window.recipe.model.popup()
    assert popup.isVisible()
    QTest.keyClick(popup.search, Qt.Key.Key_Escape)
    assert not popup.isVisible()
    assert window.session.request.model == "pcrnn"


def test_a_model_without_weights_is_dimmed_and_its_card_says_why(window, popup, qtbot, click):
    QTest.mouseMove(popup.list.viewport(), row_of(popup, "oucr"))
    qtbot.waitUntil(lambda: popup.current() is not None and popup.current().card.name == "oucr")
    assert "No weights yet: train it" in popup.card.toPlainText()
    assert short_reason(popup.current().card, popup.current().problem) == "no weights yet"
    click(popup.list.viewport(), row_of(popup, "oucr"))
    assert popup.isVisible()
    assert window.session.request.model == "pcrnn"
    assert popup.train.isVisible()


def test_what_has_no_weights_can_be_trained_from_its_card(window, popup, child, click):
    QTest.keyClicks(popup.search, "oucr")
    click(popup.train)
    QApplication.processEvents()
    dialog = QApplication.activeModalWidget()
    assert dialog is not None
    models = child(dialog, "setting-training_model")
    assert models.currentData() == "oucr"
    # Methods that need no training cannot be trained.
    assert [models.itemData(row) for row in range(models.count())] == ["pcrnn-s", "oucr"]
    dialog.reject()


def test_the_card_tells_paper_needs_weights_and_scores(window):
    cards = {card.name: card for card in window.session.models}
    text = card_html(cards["pcrnn-s"], "")
    for words in (
        "On PC-RNN-S",
        "pcrnn-s-2coil · 2 coils · trained at 4×, 8×",
        "a_head, random 4×: 31.3 dB (zero-filled 25.2)",
        "Heads.",
    ):
        assert words in text
    assert "sensitivity maps" in card_html(cards["cs-tv"], "")
    assert "a &lt;reason&gt;" in card_html(cards["cs-tv"], "a <reason>")


def test_one_of_several_weights_is_chosen_and_auto_comes_back(window, qtbot, child):
    session, box = window.session, child(window, "weightsChoice")
    assert not box.isVisible()  # one file leaves nothing to choose
    cards = {card.name: card for card in session.models}
    bundled = cards["pcrnn-s"].weights[0]
    own = SimpleNamespace(**vars(bundled) | {"path": Path("/nowhere/my-run.safetensors"), "is_bundled": False})
    several = SimpleNamespace(**vars(cards["pcrnn-s"]) | {"weights": (own, bundled)})
    session.recipe.take_models([several, cards["cs-tv"]])
    assert box.isVisible()
    assert [box.itemText(row) for row in range(box.count())] == [
        "auto",
        "my-run · 2 coils · yours",
        "pcrnn-s-2coil · 2 coils · bundled",
    ]
    assert box.currentText() == "auto"
    box.setFocus()
    QTest.keyClick(box, Qt.Key.Key_Down)
    QTest.keyClick(box, Qt.Key.Key_Down)
    assert session.request.model == "/nowhere/pcrnn-s-2coil.safetensors"
    assert child(window, "modelChoice").currentData() == "pcrnn-s"
    assert child(window, "modelSummary").text() == "PC-RNN-S in a test."
    with qtbot.waitSignal(session.job_finished, timeout=20_000):
        assert session.reconstruct()
    assert "PC-RNN-S (pcrnn-s-2coil)" in session.result.title
    session.set_request(model="cs-tv")
    assert not box.isVisible()
    session.set_request(model="pcrnn-s")
    assert box.isVisible() and box.currentText() == "auto"


def test_the_closed_box_steps_over_what_cannot_be_used(window, child):
    box = child(window, "modelChoice")
    box.setFocus()
    QTest.keyClick(box, Qt.Key.Key_Down)
    assert box.currentData() == "pcrnn-s"
    QTest.keyClick(box, Qt.Key.Key_Up)
    assert box.currentData() == "cs-tv"
    assert "CS-TV" in box.toolTip()


def test_a_dimmed_model_can_still_be_read(popup):
    """The reason at the right of a dimmed line has the contrast of text."""
    picture = popup.list.viewport().grab().toImage()
    y = row_of(popup, "oucr").y()
    strip = [picture.pixelColor(x, y + dy).lightness() for x in range(150, 245) for dy in range(-6, 7)]
    ground = QColor(picture.pixelColor(3, y)).lightness()
    assert max(abs(value - ground) for value in strip) > 90


def test_the_card_says_the_size_of_the_weights_and_in_what_they_differ(qapp):
    text = card_html(get_card("vn"), "")
    assert "These weights: 48 filters, 131,050 parameters; the paper&#x27;s have 480 filters." in text
    same = card_html(get_card("pcrnn-s"), "")
    assert "These weights" not in same
    assert "1,589,314 parameters" in same


def test_keys_turn_slices_after_a_model_was_chosen_with_the_mouse(window, popup, click):
    session, box = window.session, window.recipe.model
    box.setFocus()
    click(popup.list.viewport(), row_of(popup, "cs-tv"))
    assert session.request.model == "cs-tv" and not popup.isVisible()
    before = session.slice_index
    QTest.keyClick(window.focusWidget() or window, Qt.Key.Key_Up)
    assert session.slice_index == before + 1 and session.request.model == "cs-tv"


def test_keys_turn_slices_after_a_pattern_was_chosen_with_the_mouse(window, qtbot, click, child):
    session = window.session
    before = session.slice_index
    kinds = child(window, "maskType")
    click(kinds)
    entries = kinds.view()
    qtbot.waitUntil(entries.isVisible, timeout=5000)
    qtbot.wait(QApplication.doubleClickInterval() + 50)  # Qt takes an earlier release for the end of the first click
    row = kinds.findData("equispaced")
    click(entries.viewport(), entries.visualRect(kinds.model().index(row, 0)).center())
    qtbot.waitUntil(lambda: session.request.mask.kind == "equispaced", timeout=5000)
    QTest.keyClick(window.focusWidget() or window, Qt.Key.Key_Down)
    assert session.slice_index == before - 1 and session.request.mask.kind == "equispaced"
