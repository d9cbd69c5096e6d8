"""Setting the parameters of a method and how k-space is simulated: with the mouse and the keys of a person."""

import logging
from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QApplication,
    QComboBox,
    QFileDialog,
    QLineEdit,
    QScrollArea,
    QScrollBar,
    QTabBar,
    QWidget,
)

from app import session_file
from app.library import can_simulate
from recon.request import JOIN_WEIGHT
from recon.simulate import SimulationSpec

LEFT = Qt.MouseButton.LeftButton
NONE = Qt.KeyboardModifier.NoModifier


def type_into(field, text, key=Qt.Key.Key_Return):
    field.setFocus()
    QTest.keyClick(field, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    QTest.keyClick(field, Qt.Key.Key_Delete)
    QTest.keyClicks(field, text)
    QTest.keyClick(field, key)


# ---------------------------------------------------------------- parameters


@pytest.fixture
def method(window, qtbot, child, click):
    """Give the window with CS-TV chosen and its parameters open."""
    assert window.session.set_request(model="cs-tv")
    qtbot.waitUntil(lambda: bool(window.session.recipe.parameters))
    click(child(window, "parametersButton"))
    assert child(window, "parameter-lambda_").isVisible()
    return window


@pytest.mark.parametrize("name", ["acceleration", "centerFraction", "seed", "virtualCoils", "parameter-lambda_"])
@pytest.mark.parametrize("way", ["F5", "Shift+F5", "queued", "menu", "Ctrl+S"])
def test_what_was_just_typed_counts_for_keys_and_menus_too(
    method, child, engine, qtbot, tmp_path, monkeypatch, name, way
):
    session, field = method.session, child(method, name)
    assert session.set_request(kind="random")
    if way == "queued":
        engine.gate.clear()
        assert session.reconstruct()
    field.setFocus()
    field.selectAll()
    QTest.keyClicks(field, "0.1" if name in ("centerFraction", "parameter-lambda_") else "6")
    if way == "Ctrl+S":
        file = tmp_path / "a.mriws.json"
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(file), ""))
        QTest.keyClick(field, Qt.Key.Key_S, Qt.KeyboardModifier.ControlModifier)
        qtbot.waitUntil(lambda: session.keeping.path == file, timeout=9000)
        made = session_file.read(file).request
    else:
        if way == "menu":
            method.commands.by_name["reconstructVolume"].trigger()
        else:
            QTest.keyClick(field, Qt.Key.Key_F5, Qt.KeyboardModifier.ShiftModifier if way == "Shift+F5" else NONE)
        made = session.queue.waiting[-1].request if way == "queued" else session.results[-1].request
        engine.gate.set()
        qtbot.waitUntil(lambda: not session.is_running, timeout=9000)
    values = {
        "acceleration": made.mask.acceleration, "centerFraction": made.mask.center_fraction, "seed": made.mask.seed,
        "virtualCoils": made.coils, "parameter-lambda_": made.overrides.get("lambda_"),
    }  # fmt: skip
    assert values[name] == (0.1 if name in ("centerFraction", "parameter-lambda_") else 6)
    assert field.hasFocus()


def test_parameters_are_there_for_methods_without_weights_alone(window, qtbot, child):
    button = child(window, "parametersButton")
    assert not button.isVisible()
    window.session.set_request(model="cs-tv")
    qtbot.waitUntil(button.isVisible)
    assert not child(window, "parameter-lambda_").isVisible()
    assert "λ 0.01" in window.recipe.parameter_section.summary.toolTip()
    window.session.set_request(model="zero-filled")
    assert not button.isVisible()


def test_a_value_goes_into_the_request_and_reset_takes_it_out(method, child, click):
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


def test_switches_and_choices_are_parameters_too(method, child):
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
def test_what_the_method_refuses_is_said_below_its_field_and_stops_the_button(method, child, name, text, words):
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


def test_a_refused_value_opens_the_section_and_reset_forgives(method, child, click):
    type_into(child(method, "parameter-lambda_"), "0")
    click(child(method, "resetParameters"))
    assert child(method, "parameter-lambda_").text() == "0.01"
    assert child(method, "reconstructButton").isEnabled()
    click(child(method, "parametersButton"))
    method.session.recipe.set_parameter("lambda_", "none")
    assert child(method, "parameterProblem").isVisible()


def test_parameters_come_back_with_their_model(method, child):
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


def test_impossible_overrides_of_a_preset_are_said(method, child):
    method.session.set_request(overrides={"lambda_": -3})
    assert "it must be above 0" in method.session.problem
    assert child(method, "recipeProblem").isVisible()


def test_maps_are_asked_for_where_a_method_takes_them(window, qtbot, child):
    maps = child(window, "mapsChoice")
    assert not maps.isVisible()
    window.session.set_request(model="cs-tv")
    assert maps.isVisible()
    maps.setFocus()
    QTest.keyClick(maps, Qt.Key.Key_Down)
    assert window.session.request.maps == "walsh"
    window.session.set_request(model="pcrnn-s")
    assert not maps.isVisible()


def test_coils_can_be_joined_where_a_model_takes_them_one_by_one(window, engine, qtbot, child):
    join, maps = child(window, "joinCoils"), child(window, "mapsChoice")
    assert not join.isVisible()
    engine.coil_by_coil = {"pcrnn-s"}
    window.session.set_request(model="cs-tv")
    assert not join.isVisible()
    window.session.set_request(model="pcrnn-s")
    assert join.isVisible() and not join.isChecked() and not maps.isVisible()
    join.setFocus()
    QTest.keyClick(join, Qt.Key.Key_Space)
    assert window.session.request.join_coils == JOIN_WEIGHT
    QTest.keyClick(join, Qt.Key.Key_Space)
    assert window.session.request.join_coils is None
    # A weight of one's own, from a preset, shows as on.
    window.session.set_request(join_coils=0.3)
    assert join.isChecked()
    assert window.session.request.join_coils == 0.3
    # Another model has nothing to join, and its result says nothing of it.
    for model, joined in (("pcrnn-s", 0.3), ("cs-tv", None)):
        window.session.set_request(model=model)
        with qtbot.waitSignal(window.session.job_finished, timeout=10_000):
            window.session.reconstruct()
        result = window.session.results[-1]
        assert result.request.join_coils == joined
        assert ("coils joined" in result.title) is (joined is not None)
    assert window.session.request.join_coils == 0.3


def test_iterates_have_one_column_and_the_scrubber_counts_as_the_solver_does(method, qtbot, child, click):
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


def test_after_a_volume_the_line_is_whole_and_the_ticks_are_the_iterates_that_were_kept(method, qtbot, child, click):
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


def test_the_window_says_which_lambda_a_method_chose_for_the_scan(method, qtbot, caplog, child, click):
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
    assert label.toolTip().splitlines()[2:] == ["Half of the coils were silent."]
    assert f"{session.result.title}: half of the coils were silent." in method.log_view.text()


# ---------------------------------------------------------------- what is good to know before the start


def test_the_memory_of_a_heavy_method_is_said_before_the_start(window, engine, qtbot, child, caplog):
    engine.notes["cs-tv", "memory"] = "CS-TV needs about 2.8 GB for a slice of 48 × 40 (lighter: cs-wavelet)."
    note = child(window, "recipeNote")
    assert not note.isVisible()
    window.session.set_request(model="cs-tv")
    qtbot.waitUntil(note.isVisible)
    assert note.text() == engine.notes["cs-tv", "memory"]
    assert child(window, "reconstructButton").isEnabled()
    window.session.set_request(model="pcrnn-s")
    assert not note.isVisible()


def test_joining_coils_asks_for_the_memory_anew(window, engine, qtbot, monkeypatch):
    asked = []
    monkeypatch.setattr(engine, "memory_note", lambda _card, _series, request: asked.append(request.join_coils) or "")
    for weight in (None, 0.01):
        window.session.set_request(model="pcrnn-s", join_coils=weight)
        qtbot.waitUntil(lambda weight=weight: weight in asked)


def test_a_problem_stands_alone(window, engine, qtbot, child):
    engine.notes["cs-tv", "memory"] = "CS-TV needs about 2.8 GB for a slice."
    window.session.set_request(model="cs-tv")
    qtbot.waitUntil(child(window, "recipeNote").isVisible)
    window.session.set_request(overrides={"lambda_": -3})
    qtbot.waitUntil(child(window, "recipeProblem").isVisible)  # the parameters of the method may still be on their way
    assert not child(window, "recipeNote").isVisible()


def test_the_summary_begins_with_the_size_that_runs(window, engine, child):
    engine.notes["pcrnn-s", "size"] = "these weights: 8 filters, 12 parameters; the paper's have 16 filters."
    window.session.set_request(model="zero-filled")
    window.session.set_request(model="pcrnn-s")
    summary = child(window, "modelSummary")
    assert summary.text().startswith("These weights: 8 filters, 12 parameters")
    assert "PC-RNN-S in a test." in summary.toolTip()


def test_the_engine_estimates_memory_without_a_word_in_the_log(new_series, caplog, monkeypatch):
    from app import engine
    from recon import memory, pipeline
    from recon.models import get_card
    from recon.request import Request

    series = replace(new_series(size=(320, 320)), matrix=(480, 320))
    caplog.set_level(logging.DEBUG)
    words = engine.memory_note(get_card("oucr"), series, Request(model="oucr", device="cpu"))
    assert words.startswith("OUCR needs about ")
    assert "GB for a slice of 320 × 320 (lighter: oucr-xs" in words
    assert not caplog.records
    for name, grid in (("oucr", "native"), ("oucr", "cropped")):
        request = Request(model=name, device="cpu", grid=grid)
        said = engine.memory_note(get_card(name), series, request)
        assert said in pipeline.Plan(series, request).warnings  # what the run itself says
    array = new_series(size=(320, 320), n_coils=12)
    alone = Request(model="oucr", device="cpu")
    joined = replace(alone, join_coils=0.01)
    for request in (alone, joined):
        assert engine.memory_note(get_card("oucr"), array, request) in pipeline.Plan(array, request).warnings
    assert engine.memory_note(get_card("oucr"), array, joined) != engine.memory_note(get_card("oucr"), array, alone)
    for name in ("zero-filled", "cs-tv", "oucr-xs"):
        assert engine.memory_note(get_card(name), series, Request(model=name, device="cpu")) == ""
    assert "48 filters" in engine.size_note(get_card("vn"), new_series(n_coils=4), Request(model="vn"))
    monkeypatch.setattr(memory, "free_bytes", lambda *_: 10**9)
    assert "GB are free on cpu" in engine.memory_note(get_card("oucr"), series, Request(model="oucr", device="cpu"))


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


def test_simulation_goes_away_with_the_images(images, child):
    assert child(images, "simulationButton").isVisible()
    images.session.select(images.session.studies[0].series[0])
    assert not child(images, "simulationButton").isVisible()


def test_apply_makes_the_kspace_anew_and_keeps_slice_and_recipe(images, qtbot, child, click):
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
def test_an_impossible_simulation_is_said_in_place(images, child, click, name, text, words):
    click(child(images, "simulationButton"))
    type_into(child(images, name), text)
    problem = child(images, "simulationProblem")
    assert words in problem.text()
    assert problem.isVisible()
    assert not child(images, "applySimulation").isEnabled()
    click(child(images, "resetSimulation"))
    assert not problem.isVisible()
    assert images.recipe.simulation.spec() == images.session.series.simulation


def test_apply_waits_for_a_running_reconstruction(images, engine, qtbot, child, click):
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


def test_every_control_says_what_it_is(images, qtbot, child):
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


def test_tab_walks_the_recipe_from_top_to_bottom(images, qtbot, child):
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
