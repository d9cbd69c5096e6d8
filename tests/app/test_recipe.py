"""Choosing a model, setting its parameters and how k-space is simulated: with the mouse and the keys of a person."""

import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QColor
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QApplication,
    QComboBox,
    QLineEdit,
    QScrollArea,
    QScrollBar,
    QTabBar,
    QWidget,
)

from app.library import can_simulate
from app.views.model_card import card_html, short_reason
from recon.simulate import SimulationSpec

LEFT = Qt.MouseButton.LeftButton
NONE = Qt.KeyboardModifier.NoModifier


def child(window, name):
    found = window.findChild(QWidget, name)
    assert found is not None, name
    return found


def click(widget, where=None):
    QTest.mouseClick(widget, LEFT, NONE, widget.rect().center() if where is None else where)


def type_into(field, text, key=Qt.Key.Key_Return):
    field.setFocus()
    QTest.keyClick(field, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    QTest.keyClick(field, Qt.Key.Key_Delete)
    QTest.keyClicks(field, text)
    QTest.keyClick(field, key)


@pytest.fixture
def popup(window):
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


# ---------------------------------------------------------------- the list of models


def test_the_list_opens_under_headings_on_the_model_in_use(popup):
    assert headings(popup) == ["Classical", "PC-RNN", "OUCR"]
    assert popup.names() == ["zero-filled", "cs-tv", "pcrnn-s", "oucr"]
    assert popup.current().card.name == "pcrnn-s"
    assert popup.search.hasFocus()
    assert "PC-RNN-S" in popup.card.toPlainText()


def test_a_click_takes_a_model(window, popup):
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


def test_a_letter_opens_the_list_from_anywhere_and_escape_closes_it(window):
    QTest.keyClick(child(window, "stageScrubber"), Qt.Key.Key_M)
    popup = window.recipe.model.popup()
    assert popup.isVisible()
    QTest.keyClick(popup.search, Qt.Key.Key_Escape)
    assert not popup.isVisible()
    assert window.session.request.model == "pcrnn"


def test_a_model_without_weights_is_dimmed_and_its_card_says_why(window, popup, qtbot):
    QTest.mouseMove(popup.list.viewport(), row_of(popup, "oucr"))
    qtbot.waitUntil(lambda: popup.current() is not None and popup.current().card.name == "oucr")
    assert "No weights yet: train it" in popup.card.toPlainText()
    assert short_reason(popup.current().card, popup.current().problem) == "no weights yet"
    click(popup.list.viewport(), row_of(popup, "oucr"))
    assert popup.isVisible()
    assert window.session.request.model == "pcrnn"
    assert popup.train.isVisible()


def test_what_has_no_weights_can_be_trained_from_its_card(window, popup):
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


def test_one_of_several_weights_is_chosen_and_auto_comes_back(window, qtbot):
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


def test_the_closed_box_steps_over_what_cannot_be_used(window):
    box = child(window, "modelChoice")
    box.setFocus()
    QTest.keyClick(box, Qt.Key.Key_Down)
    assert box.currentData() == "pcrnn-s"
    QTest.keyClick(box, Qt.Key.Key_Up)
    assert box.currentData() == "cs-tv"
    assert "CS-TV" in box.toolTip()


# ---------------------------------------------------------------- parameters


@pytest.fixture
def method(window, qtbot):
    """Give the window with CS-TV chosen and its parameters open."""
    assert window.session.set_request(model="cs-tv")
    qtbot.waitUntil(lambda: bool(window.session.recipe.parameters))
    click(child(window, "parametersButton"))
    assert child(window, "parameter-lambda_").isVisible()
    return window


def test_parameters_are_there_for_methods_without_weights_alone(window, qtbot):
    button = child(window, "parametersButton")
    assert not button.isVisible()
    window.session.set_request(model="cs-tv")
    qtbot.waitUntil(button.isVisible)
    assert not child(window, "parameter-lambda_").isVisible()
    assert "λ 0.01" in window.recipe.parameter_section.summary.toolTip()
    window.session.set_request(model="zero-filled")
    assert not button.isVisible()


def test_a_value_goes_into_the_request_and_reset_takes_it_out(method):
    session, field, reset = method.session, child(method, "parameter-lambda_"), child(method, "resetParameters")
    assert (field.text(), reset.isEnabled()) == ("0.01", False)
    assert "Weight of the total variation." in field.toolTip()
    type_into(field, "2e-3")
    assert session.request.overrides == {"lambda_": 0.002}
    assert field.text() == "0.002"
    type_into(child(method, "parameter-n_iterations"), "40", Qt.Key.Key_Tab)
    assert session.request.overrides == {"lambda_": 0.002, "n_iterations": 40}
    # The preset's own value is no override.
    type_into(field, "0.01")
    assert session.request.overrides == {"n_iterations": 40}
    click(reset)
    assert session.request.overrides == {}
    assert child(method, "parameter-n_iterations").text() == "100"
    assert not reset.isEnabled()


def test_switches_and_choices_are_parameters_too(method):
    session = method.session
    box, combo = child(method, "parameter-is_isotropic"), child(method, "parameter-prior")
    QTest.mouseClick(box, LEFT, NONE, QPoint(8, box.height() // 2))
    combo.setFocus()
    QTest.keyClick(combo, Qt.Key.Key_Down)
    assert session.request.overrides == {"is_isotropic": False, "prior": "wavelet"}
    assert session.slice_index == 2
    type_into(child(method, "parameter-rank"), "3")
    type_into(child(method, "parameter-rank"), "")
    assert "rank" not in session.request.overrides


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("lambda_", "-1", "The solver is wrong: lambda_ is -1.0, it must be above 0."),
        ("lambda_", "much", "'much'; give a number."),
        ("n_iterations", "2.5", "'2.5'; give a whole number."),
    ],
)
def test_what_the_method_refuses_is_said_below_its_field_and_stops_the_button(method, name, text, words):
    field, problem, button = (
        child(method, part) for part in (f"parameter-{name}", "parameterProblem", "reconstructButton")
    )
    before = method.session.request
    type_into(field, text, Qt.Key.Key_Tab)
    assert words in problem.text()
    assert problem.isVisible()
    assert (field.text(), field.property("state")) == (text, "refused")
    assert not button.isEnabled()
    # Said once: not again above the button.
    assert not child(method, "recipeProblem").isVisible()
    assert method.session.request == before
    type_into(field, "7")
    assert not problem.isVisible()
    assert button.isEnabled()
    assert method.session.request.overrides == {name: 7}


def test_a_refused_value_opens_the_section_and_reset_forgives(method):
    type_into(child(method, "parameter-lambda_"), "0")
    click(child(method, "resetParameters"))
    assert child(method, "parameter-lambda_").text() == "0.01"
    assert child(method, "reconstructButton").isEnabled()
    click(child(method, "parametersButton"))
    method.session.recipe.set_parameter("lambda_", "none")
    assert child(method, "parameterProblem").isVisible()


def test_parameters_come_back_with_their_model(method):
    session = method.session
    type_into(child(method, "parameter-lambda_"), "0.5")
    session.set_request(model="pcrnn-s")
    assert session.request.overrides == {}
    session.set_request(model="cs-tv")
    assert session.request.overrides == {"lambda_": 0.5}
    assert child(method, "parameter-lambda_").text() == "0.5"
    # A whole request is taken as it is.
    from dataclasses import replace

    session.set_request(replace(session.request, overrides={}))
    assert child(method, "parameter-lambda_").text() == "0.01"


def test_impossible_overrides_of_a_preset_are_said(method):
    method.session.set_request(overrides={"lambda_": -3})
    assert "it must be above 0" in method.session.problem
    assert child(method, "recipeProblem").isVisible()


def test_maps_are_asked_for_where_a_method_takes_them(window, qtbot):
    maps = child(window, "mapsChoice")
    assert not maps.isVisible()
    window.session.set_request(model="cs-tv")
    assert maps.isVisible()
    maps.setFocus()
    QTest.keyClick(maps, Qt.Key.Key_Down)
    assert window.session.request.maps == "walsh"
    window.session.set_request(model="pcrnn-s")
    assert not maps.isVisible()


def test_iterates_have_one_column_and_the_scrubber_counts_as_the_solver_does(method, qtbot):
    session = method.session
    type_into(child(method, "parameter-lambda_"), "0.02")
    with qtbot.waitSignal(session.job_finished, timeout=30_000):
        click(child(method, "reconstructButton"))
    assert session.result.request.overrides == {"lambda_": 0.02}
    assert "CS-TV, lambda 0.02" in session.result.title
    method.grid_presenter.flush()
    method.stage_presenter.flush()
    assert method.grid.keys() == ["zero-filled", "iterate", "final", "reference"]
    assert method.grid.panel("iterate").title() == "Iterate"
    scrubber = child(method, "stageScrubber")
    click(scrubber, QPoint(int(scrubber.x_of(2)), scrubber.height() // 2))
    method.grid_presenter.flush()
    assert session.step.title == "iterate · 40"
    assert method.grid.panel("iterate").title() == "Iterate · 40/100"
    np.testing.assert_array_equal(method.grid.panel("iterate").well.image, session.slice_result.steps[2].image)
    # The next run keeps the column from its start.
    session.reconstruct()
    assert session.result.expected_modules == ["iterate"]
    qtbot.waitUntil(lambda: not session.is_running)


def test_after_a_volume_the_line_is_whole_and_the_ticks_are_the_iterates_that_were_kept(method, qtbot):
    session, scrubber = method.session, child(method, "stageScrubber")
    with qtbot.waitSignal(session.job_finished, timeout=30_000):
        click(child(method, "volumeButton"))
    session.select(index=1)
    method.stage_presenter.flush()
    assert len(scrubber.stages()) == len(scrubber.scores()) == 7
    assert None not in scrubber.scores()
    click(scrubber, QPoint(int(scrubber.x_of(2)), scrubber.height() // 2))
    QTest.keyClick(scrubber, Qt.Key.Key_Right)
    method.stage_presenter.flush()
    method.grid_presenter.flush()
    assert session.step.title == "iterate · 80"
    assert scrubber.position() == 4
    assert method.grid.panel("iterate").title() == "Iterate · 80/100"
    np.testing.assert_array_equal(method.grid.panel("iterate").well.image, session.step.image)


def test_the_window_says_which_lambda_a_method_chose_for_the_scan(method, qtbot, caplog):
    session = method.session
    # As the program itself sets it.
    caplog.set_level(logging.DEBUG, "app")
    with qtbot.waitSignal(session.job_finished, timeout=30_000):
        click(child(method, "reconstructButton"))
    assert session.result.request.overrides == {}
    assert "CS-TV, lambda 0.001 · " in session.result.title
    label = child(method, "status-job")
    qtbot.waitUntil(lambda: "lambda 0.001" in label.text(), timeout=20_000)
    assert "lambda 0.001 (fastMRI's table: AXT1)" in label.toolTip()
    # What the run met is said too; what the series said of itself, when it was opened.
    assert label.toolTip().splitlines()[1:] == ["Half of the coils were silent."]
    assert f"{session.result.title}: half of the coils were silent." in method.log_view.text()


# ---------------------------------------------------------------- simulated k-space


@pytest.fixture
def images(window, engine, new_series, qtbot):
    """Give the window with a series of images whose k-space is simulated, on its second slice."""
    engine.series["images.dcm"] = new_series(name="images.dcm", kind="dicom", n_coils=4)
    window.session.open("/nowhere/images.dcm")
    qtbot.waitUntil(lambda: can_simulate(window.session.series))
    window.session.select(index=1)
    return window


def test_simulation_is_there_for_images_alone(window):
    assert window.findChild(QWidget, "simulationButton") is None
    assert not window.session.simulate(SimulationSpec())
    assert "Only k-space that is simulated" in window.banner.text


def test_simulation_goes_away_with_the_images(images):
    assert child(images, "simulationButton").isVisible()
    images.session.select(images.session.studies[0].series[0])
    assert not child(images, "simulationButton").isVisible()


def test_apply_makes_the_kspace_anew_and_keeps_slice_and_recipe(images, qtbot):
    session = images.session
    session.set_request(model="zero-filled", acceleration=6)
    assert "4 coils · phase 1 · noise 0.005 · seed 0" in images.recipe.simulation_section.summary.toolTip()
    click(child(images, "simulationButton"))
    apply = child(images, "applySimulation")
    assert not apply.isEnabled()
    for name, text in (("simulatedCoils", "8"), ("simulatedNoise", "0,02"), ("simulatedSeed", "3")):
        type_into(child(images, name), text, Qt.Key.Key_Tab)
    box = child(images, "simulatedPhaseOn")
    QTest.mouseClick(box, LEFT, NONE, QPoint(8, box.height() // 2))
    assert not child(images, "simulatedPhase").isEnabled()
    first, request = session.series, session.request
    click(apply)
    qtbot.waitUntil(lambda: session.series is not first)
    wanted = SimulationSpec(n_coils=8, phase=0, noise=0.02, seed=3)
    assert session.series.simulation == wanted
    assert (session.slice_index, session.request, len(session.studies)) == (1, request, 2)
    assert wanted.note in images.banner.text
    assert not apply.isEnabled()
    assert "no phase" in images.recipe.simulation_section.summary.toolTip()
    with qtbot.waitSignal(session.job_finished, timeout=30_000):
        assert session.reconstruct()
    assert session.result.series.simulation == wanted


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("simulatedCoils", "0", "0 coils"),
        ("simulatedCoils", "four", "Coils is 'four'; give a whole number."),
        ("simulatedNoise", "-1", "noise is -1"),
        ("simulatedPhase", "", "Phase is ''; give a number."),
        ("simulatedSeed", "-2", "seed is -2"),
    ],
)
def test_an_impossible_simulation_is_said_in_place(images, name, text, words):
    click(child(images, "simulationButton"))
    type_into(child(images, name), text)
    problem = child(images, "simulationProblem")
    assert words in problem.text()
    assert problem.isVisible()
    assert not child(images, "applySimulation").isEnabled()
    click(child(images, "resetSimulation"))
    assert not problem.isVisible()
    assert images.recipe.simulation.spec() == images.session.series.simulation


def test_apply_waits_for_a_running_reconstruction(images, engine, qtbot):
    click(child(images, "simulationButton"))
    type_into(child(images, "simulatedSeed"), "9", Qt.Key.Key_Tab)
    engine.gate.clear()
    images.session.set_request(model="zero-filled")
    images.session.reconstruct()
    assert not child(images, "applySimulation").isEnabled()
    assert not images.session.simulate(SimulationSpec(seed=9))
    engine.gate.set()
    qtbot.waitUntil(lambda: not images.session.is_running)
    # What was typed is still there.
    assert child(images, "applySimulation").isEnabled()


# ---------------------------------------------------------------- for everybody


def test_every_control_says_what_it_is(images, qtbot):
    images.session.set_request(model="cs-tv")
    qtbot.waitUntil(lambda: bool(images.session.recipe.parameters))
    for name in ("parametersButton", "simulationButton"):
        child(images, name).setChecked(True)
    nameless = []
    for widget in (*images.findChildren(QWidget), *images.recipe.model.popup().findChildren(QWidget)):
        is_stop = bool(widget.focusPolicy() & Qt.FocusPolicy.TabFocus)
        # The lists inside Qt's own boxes are read as those boxes, the arrows of a tab bar as the bar.
        box = widget.parent().parent() if widget.parent() is not None else None
        is_part = isinstance(box, QComboBox) or isinstance(widget.parent(), QTabBar)
        is_part = is_part or isinstance(widget, (QScrollArea, QScrollBar, QTabBar))
        if is_stop and not is_part and not (widget.accessibleName() or getattr(widget, "text", str)()):
            nameless.append(f"{type(widget).__name__} {widget.objectName()} in {widget.parent().objectName()}")
        is_button = isinstance(widget, (QAbstractButton, QAbstractSlider, QComboBox, QLineEdit))
        is_own = not is_part and widget.objectName() != "qt_spinbox_lineedit"
        on_start = images.start_page.isAncestorOf(widget)
        if is_button and is_stop and is_own and not on_start and not widget.toolTip():
            nameless.append(f"{type(widget).__name__} {widget.accessibleName()} has no tool tip")
    assert not nameless, nameless


def test_tab_walks_the_recipe_from_top_to_bottom(images, qtbot):
    images.resize(1280, 1400)
    images.session.set_request(model="cs-tv")
    qtbot.waitUntil(lambda: bool(images.session.recipe.parameters))
    for name in ("parametersButton", "simulationButton"):
        child(images, name).setChecked(True)
    QApplication.processEvents()
    images.activateWindow()
    start = child(images, "simulationButton")
    start.setFocus()
    walked = []
    for _ in range(40):
        widget = QApplication.focusWidget()
        if not images.recipe.isAncestorOf(widget):
            break
        walked.append(widget)
        QTest.keyClick(widget, Qt.Key.Key_Tab)
    names = [widget.objectName() for widget in walked]
    wanted = [
        "simulationButton", "simulatedCoils", "simulatedPhaseOn", "simulatedPhase", "simulatedNoise", "simulatedSeed",
        "maskType", "acceleration", "centerFraction", "seed", "grid", "modelChoice", "mapsChoice", "virtualCoils",
        "deviceChoice", "precision", "parametersButton", "parameter-lambda_", "parameter-n_iterations",
        "parameter-prior", "parameter-is_isotropic", "parameter-rank", "reconstructButton", "volumeButton",
    ]  # fmt: skip
    assert [name for name in names if name in wanted] == wanted


def test_a_dimmed_model_can_still_be_read(popup):
    """The reason at the right of a dimmed line has the contrast of text."""
    picture = popup.list.viewport().grab().toImage()
    y = row_of(popup, "oucr").y()
    strip = [picture.pixelColor(x, y + dy).lightness() for x in range(150, 245) for dy in range(-6, 7)]
    ground = QColor(picture.pixelColor(3, y)).lightness()
    assert max(abs(value - ground) for value in strip) > 90
