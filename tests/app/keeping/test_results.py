"""Results of a session file: kept as recipes, and made again when they are asked for."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace

from PySide6.QtCore import Qt

from app import session_file
from recon.simulate import SimulationSpec

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
CONTROL = Qt.KeyboardModifier.ControlModifier


def test_results_are_made_again_on_request(worked, start, save, child, click, qtbot, tmp_path):
    before = [(one.series.name, one.request, one.finished) for one in worked.session.results]
    assert [one[2] for one in before] == [(1,), (0, 2)]
    file = tmp_path / "brain.mriws.json"
    save(worked, file)
    window = start(file)
    session, command = window.session, window.commands.by_name["reconstructResults"]
    qtbot.waitUntil(lambda: bool(session.keeping.waiting), timeout=9000)
    assert "2 results" in window.banner.text and command.isEnabled()
    button = child(window, "bannerAction")
    assert button.isVisible() and button.text() == "Reconstruct 2 results"
    click(button)
    assert session.is_running and not command.isEnabled()
    qtbot.waitUntil(lambda: len(session.results) == 2 and not session.is_running, timeout=9000)
    qtbot.waitUntil(lambda: not session.keeping.waiting, timeout=9000)
    after = [(one.series.name, replace(one.request, slices=one.finished), one.finished) for one in session.results]
    assert after == [(name, replace(request, slices=slices), slices) for name, request, slices in before]
    # The recipe and the series in view are as they were saved; its own result is in view.
    assert session.request == worked.session.request and session.series.name == "knee.h5"
    assert session.result is session.results[1]
    assert not command.isEnabled()
    # Who opens it once more has them already, and the studies too.
    studies = list(session.studies)
    session.open(file)
    qtbot.waitUntil(lambda: window.banner.text == "brain.mriws.json is open.", timeout=9000)
    assert session.studies == studies and session.keeping.waiting == [] and len(session.results) == 2


def test_what_is_cancelled_can_be_asked_for_again(worked, start, save, qtbot, tmp_path, engine):
    file = tmp_path / "brain.mriws.json"
    save(worked, file)
    window = start(file)
    session = window.session
    qtbot.waitUntil(lambda: bool(session.keeping.waiting), timeout=9000)
    engine.gate.clear()
    with qtbot.waitSignal(session.job_finished, timeout=9000):
        session.keeping.reconstruct()
        assert session.is_running and len(session.queue.waiting) == 1
        window.commands.by_name["cancelAll"].trigger()
        engine.gate.set()
    qtbot.waitUntil(lambda: not session.is_running, timeout=9000)
    # Nothing is lost: what was not finished can be asked for again, and is saved again.
    assert not session.queue.waiting and len(session.keeping.waiting) == 2
    assert len(session.keeping.stored().results) == 2
    window.commands.by_name["reconstructResults"].trigger()
    qtbot.waitUntil(lambda: not session.queue.waiting and not session.is_running, timeout=9000)
    assert len([result for result in session.results if result.finished]) == 2
    # A study that is closed takes its own with it.
    session.close_study(session.studies[0])
    session.open(file)
    qtbot.waitUntil(lambda: len(session.keeping.waiting) == 1, timeout=9000)
    session.close_study(next(study for study in session.studies if study.path.name == "disc.h5"))
    assert not session.keeping.waiting


def test_a_model_that_is_not_there_any_more_is_named_and_the_others_are_made(
    worked, start, save, qtbot, tmp_path, monkeypatch
):
    file = tmp_path / "brain.mriws.json"
    save(worked, file)
    values = json.loads(file.read_text())
    values["results"][0]["recipe"]["model"] = "oucr"
    file.write_text(json.dumps(values))
    window = start(file)
    session = window.session
    qtbot.waitUntil(lambda: bool(session.keeping.waiting), timeout=9000)
    session.keeping.reconstruct()
    qtbot.waitUntil(lambda: not session.queue.waiting and not session.is_running, timeout=9000)
    qtbot.waitUntil(lambda: "OUCR has no weights yet." in window.banner.text, timeout=9000)
    assert [one.request.model for one in session.results] == ["cs-tv"]


def test_a_running_result_is_kept_as_what_was_asked_for(start, save, scans, engine, qtbot, tmp_path):
    window = start(scans / "disc.h5")
    engine.gate.clear()
    window.session.reconstruct((1, 2))
    assert [request.slices for _, request in window.session.keeping.stored().results] == [(1, 2)]
    save(window, tmp_path / "a.mriws.json")
    window.session.open(tmp_path / "a.mriws.json")
    with suppress(qtbot.TimeoutError):  # while something runs, a window that closes would wait for an answer
        qtbot.waitUntil(lambda: window.banner.text == "a.mriws.json is open.", timeout=9000)
    said, waiting = window.banner.text, window.session.keeping.waiting
    with qtbot.waitSignal(window.session.job_finished, timeout=9000):
        window.session.cancel()
        engine.gate.set()
    assert said == "a.mriws.json is open." and waiting == []  # it is on its way
    assert len(window.session.keeping.stored().results) == 1  # what the file knows, and was cancelled here


def test_what_was_opened_is_saved_again_and_what_waits_too(worked, start, save, tmp_path, qtbot, engine):
    file, again = tmp_path / "brain.mriws.json", tmp_path / "again.mriws.json"
    save(worked, file)
    before = session_file.read(file).results
    window = start(file)
    qtbot.waitUntil(lambda: len(window.session.keeping.waiting) == 2, timeout=9000)
    save(window, again)
    assert [request for _, request in session_file.read(again).results] == [request for _, request in before]
    engine.gate.clear()
    window.session.keeping.reconstruct()
    stored = window.session.keeping.stored().results
    window.session.cancel_all()
    engine.gate.set()
    qtbot.waitUntil(lambda: not window.session.is_running, timeout=9000)
    assert sorted(request.model for _, request in stored) == sorted(request.model for _, request in before)


def test_results_of_another_simulation_are_not_lost_to_a_session(start, save, qtbot, tmp_path, scans):
    window = start(scans / "images.nii")
    assert window.session.simulate(SimulationSpec(n_coils=8, seed=5))
    qtbot.waitUntil(lambda: not window.session.opening and window.session.preview is not None, timeout=9000)
    file = tmp_path / "images.mriws.json"
    save(window, file)
    session = start(scans / "images.nii").session
    before = session.series.simulation
    session.reconstruct()
    qtbot.waitUntil(lambda: not session.is_running, timeout=9000)
    session.open(file)
    qtbot.waitUntil(lambda: session.keeping.path == file, timeout=9000)
    assert session.series.simulation == before and len(session.results) == 1
    assert "images.nii stays as it is open, simulated otherwise" in session.seen[-1].text
