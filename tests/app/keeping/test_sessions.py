"""Sessions saved and opened in the window: what comes back, what is said, and what is offered."""

from __future__ import annotations

import json
import threading
import time

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QComboBox, QFileDialog, QMessageBox, QPushButton

from app import session_file
from app.session import Session
from app.views.component import Component
from app.views.image_canvas import View
from recon.simulate import SimulationSpec

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
CONTROL = Qt.KeyboardModifier.ControlModifier


def look_of(window):
    view, grid = window.session.view, window.grid
    return (
        view.component, view.levels, view.kept_levels, view.preset, view.colours, view.is_inverted, view.layout,
        view.shows_errors, view.has_signed_errors, view.error_gain, view.has_crosshair, view.crosshair, view.region,
        view.has_wipe, view.wipe,
        grid.view(), grid.levels(), grid.probe(),
    )  # fmt: skip


def test_all_of_it_comes_back(worked, start, save, qtbot, tmp_path, scans):
    file = tmp_path / "brain.mriws.json"
    save(worked, file)
    assert worked.session.seen[-1].level == "success" and str(file) in worked.session.seen[-1].text
    look, request = look_of(worked), worked.session.request
    assert look[0] is Component.REAL and look[3] == "bright" and look[15].zoom > 1
    window = start(file)
    session = window.session
    qtbot.waitUntil(lambda: session.mask is not None and not session.opening, timeout=9000)
    window.grid_presenter.flush()
    window.stage_presenter.flush()
    QApplication.processEvents()
    assert [study.path for study in session.studies] == [scans / "disc.h5", scans / "knee.h5"]
    assert session.series.name == "knee.h5" and session.slice_index == 3
    assert session.request == request
    assert window.recipe.findChild(QComboBox, "maskType").currentData() == "random"
    assert look_of(window) == look
    assert session.keeping.path == file and session.settings.recent[0] == str(file)
    # Nothing is computed unasked.
    assert not session.is_running and session.results == []


def test_missing_and_changed_scans_are_named_and_the_rest_opens(worked, start, save, qtbot, tmp_path, scans):
    file = tmp_path / "brain.mriws.json"
    save(worked, file)
    (scans / "disc.h5").unlink()
    (scans / "knee.h5").write_bytes(b"measured again")
    window = start(file)
    session = window.session
    assert [study.path.name for study in session.studies] == ["knee.h5"]
    messages = [message for message in session.seen if message.level == "warning"]
    assert len(messages) == 1
    assert messages[0].text.startswith(
        "brain.mriws.json: disc.h5 is missing and knee.h5 changed since it was saved; the rest is open."
    )
    assert session.series.name == "knee.h5" and session.slice_index == 3
    assert [series.name for series, _ in session.keeping.waiting] == ["knee.h5"]
    assert window.banner.text == messages[0].text


def test_a_scan_with_fewer_slices_shows_its_last_and_keeps_the_recipes_that_fit(
    worked, start, save, tmp_path, engine, new_series
):
    file = tmp_path / "brain.mriws.json"
    save(worked, file)
    engine.series["knee.h5"] = new_series(name="knee.h5", n_slices=2, size=(16, 8))
    window = start(file)
    session = window.session
    assert session.slice_index == 1
    assert [request.slices for series, request in session.keeping.waiting if series.name == "knee.h5"] == [(0,)]
    # Marks beside the image are left out.
    assert session.view.crosshair is not None or session.view.region is None
    assert session.view.region is None


def test_when_nothing_is_left_it_says_so_and_nothing_opens(worked, start, save, qtbot, tmp_path, scans):
    file = tmp_path / "brain.mriws.json"
    save(worked, file)
    for path in scans.iterdir():
        path.unlink()
    window = start()
    window.session.open(file)
    qtbot.waitUntil(lambda: bool(window.session.seen), timeout=9000)
    assert window.banner.text == "brain.mriws.json: disc.h5 and knee.h5 are missing."
    assert window.start_page.isVisible() and window.session.series is None


def test_a_scan_that_cannot_be_opened_is_named_too(worked, start, save, qtbot, tmp_path, engine, impossible):
    file = tmp_path / "brain.mriws.json"
    save(worked, file)
    window = start()
    engine.error = impossible
    window.session.open(file)
    qtbot.waitUntil(lambda: "could not be opened" in window.banner.text, timeout=9000)
    assert window.banner.text == "brain.mriws.json: disc.h5 and knee.h5 could not be opened."


def test_a_damaged_file_changes_nothing(worked, save, qtbot, tmp_path):
    file = tmp_path / "brain.mriws.json"
    save(worked, file)
    session = worked.session
    values = json.loads(file.read_text())
    values["view"]["zoom"] = "near"
    file.write_text(json.dumps(values))
    before = look_of(worked), session.request, list(session.studies), list(session.results), session.settings
    n_seen = len(session.seen)
    session.open(file)
    qtbot.waitUntil(lambda: len(session.seen) > n_seen, timeout=9000)
    QApplication.processEvents()
    message = session.seen[-1]
    assert message.level == "error" and message.details == ""
    assert message.text == (
        f'{file}: the session is damaged: view.zoom is "near"; expected a number from 0.25 to 40. '
        "Save the session again, or correct the file."
    )
    after = look_of(worked), session.request, list(session.studies), list(session.results), session.settings
    assert after == before


def test_it_is_opened_beside_what_is_open(worked, start, save, qtbot, tmp_path, scans):
    file = tmp_path / "brain.mriws.json"
    save(worked, file)
    window = start(scans / "images.nii")
    session = window.session
    own = session.studies[0]
    session.open([file])
    qtbot.waitUntil(lambda: session.keeping.path == file, timeout=9000)
    assert session.studies[0] is own and len(session.studies) == 3 and session.series.name == "knee.h5"


def test_simulated_kspace_is_simulated_as_it_was(start, save, qtbot, tmp_path, scans):
    window = start(scans / "images.nii")
    spec = SimulationSpec(n_coils=8, seed=5)
    assert window.session.simulate(spec)
    qtbot.waitUntil(lambda: not window.session.opening and window.session.preview is not None, timeout=9000)
    file = tmp_path / "images.mriws.json"
    save(window, file)
    again = start(file)
    assert again.session.series.simulation == spec and again.session.series.n_coils == 8
    # In a window where it is open with another simulation, it is simulated anew.
    other = start(scans / "images.nii")
    other.session.open(file)
    qtbot.waitUntil(lambda: other.session.keeping.path == file, timeout=9000)
    assert other.session.series.simulation == spec and len(other.session.studies) == 1


@pytest.mark.parametrize("way", ["drop", "files", "session", "recent"])
def test_every_way_to_open_opens_it(worked, start, save, qtbot, tmp_path, monkeypatch, way, click):
    file = tmp_path / "brain.mriws.json"
    save(worked, file)
    window = start()
    if way == "drop":
        data = QMimeData()
        data.setUrls([QUrl.fromLocalFile(str(file))])
        copy = Qt.DropAction.CopyAction
        QApplication.sendEvent(window, QDragEnterEvent(QPoint(5, 5), copy, data, LEFT, NONE))
        QApplication.sendEvent(window, QDropEvent(QPointF(5, 5), copy, data, LEFT, NONE))
    elif way == "files":
        monkeypatch.setattr(
            QFileDialog, "getOpenFileNames", lambda *words: ([str(file)], "") if "*.mriws.json" in words[3] else None
        )
        QTest.keyClick(window, Qt.Key.Key_O, CONTROL)
    elif way == "session":
        monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(file), ""))
        window.commands.by_name["openSession"].trigger()
    else:
        window.session.change_settings(recent=(str(file),))
        buttons = window.start_page.findChildren(QPushButton)
        row = next(one for one in buttons if one.accessibleName() == f"Open {file}")
        click(row)
    qtbot.waitUntil(lambda: len(window.session.studies) == 2, timeout=9000)
    qtbot.waitUntil(lambda: window.session.keeping.path == file, timeout=9000)


def test_the_program_opens_it_from_the_command_line(worked, save, tmp_path):
    from app import cli

    file = tmp_path / "brain.mriws.json"
    save(worked, file)
    arguments = cli.parse([str(file)])
    assert arguments.paths == [file]  # which the window hands to `Session.open`


def test_the_name_gets_its_ending_and_asks_before_it_replaces(worked, save, qtbot, tmp_path, monkeypatch):
    asked = save(worked, tmp_path / "brain")
    assert asked[2].endswith("session.mriws.json")
    file = tmp_path / "brain.mriws.json"
    assert file.exists() and worked.session.keeping.path == file
    before = file.read_bytes()
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.No)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "brain.json"), ""))
    worked.session.view.set_levels(0, 9)
    QTest.keyClick(worked, Qt.Key.Key_S, CONTROL)
    QTest.qWait(50)
    assert file.read_bytes() == before
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)
    QTest.keyClick(worked, Qt.Key.Key_S, CONTROL)
    qtbot.waitUntil(lambda: file.read_bytes() != before, timeout=9000)
    assert save(worked, file)[2] == str(file)  # the next time it proposes the same one


def test_a_folder_that_cannot_be_written_is_said(worked, save, tmp_path):
    (tmp_path / "file").touch()
    save(worked, tmp_path / "file" / "brain.mriws.json")
    assert worked.session.seen[-1].level == "error" and "could not be written" in worked.session.seen[-1].text


def test_nothing_is_saved_before_a_study_is_open(start, monkeypatch):
    window = start()
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: pytest.fail("asked"))
    QTest.keyClick(window, Qt.Key.Key_S, CONTROL)
    assert not window.commands.by_name["saveSession"].isEnabled()
    assert window.commands.by_name["openSession"].isEnabled()


def test_presets_of_the_scan_come_back_where_the_scan_still_has_them(
    start, save, qtbot, tmp_path, scans, engine, press_in
):
    engine.windows["disc.h5", 2] = (0.1, 0.9)
    window = start(scans / "disc.h5")
    press_in(window, Qt.Key.Key_6)
    assert window.session.view.preset == "stored"
    file = tmp_path / "a.mriws.json"
    save(window, file)
    again = start(file)
    assert again.session.view.preset == "stored" and again.session.view.levels == (0.1, 0.9)
    engine.windows.clear()
    third = start(file)
    assert third.session.view.preset is None and third.session.view.levels == (0.1, 0.9)


def test_the_zoom_is_that_of_the_file(worked, start, save, tmp_path):
    worked.grid.set_view(View(3.0, 0.25, 0.75))
    file = tmp_path / "brain.mriws.json"
    save(worked, file)
    assert session_file.read(file).view.zoom == 3.0
    window = start(file)
    assert window.grid.view() == View(3.0, 0.25, 0.75)
    assert window.status.labels["zoom"].text() == "zoom 300%"


def test_a_session_that_is_opened_before_the_models_are_listed_comes_back(worked, save, qtbot, tmp_path, engine):
    file = tmp_path / "brain.mriws.json"
    save(worked, file)
    session = Session(tmp_path / "new" / "settings.json", engine)
    session.open([file])  # as the program does with its arguments
    session.start()
    qtbot.waitUntil(lambda: session.keeping.path == file and session.preview is not None, timeout=9000)
    qtbot.waitUntil(lambda: bool(session.models), timeout=9000)
    assert session.request == worked.session.request and session.problem == ""
    assert session.view.levels == worked.session.view.levels
    session.close()


def test_a_recipe_of_another_machine_comes_back_on_a_device_of_this_one(worked, start, save, tmp_path, qtbot):
    file = tmp_path / "brain.mriws.json"
    save(worked, file)
    values = json.loads(file.read_text())
    values["recipe"] |= {"device": "cuda:7", "model": "/elsewhere/own.safetensors"}
    values["results"][1]["recipe"]["overrides"]["lambda_"] = -3
    file.write_text(json.dumps(values))
    window = start(file)
    assert window.session.request.device == "auto"
    assert window.session.request.model == "/elsewhere/own.safetensors"
    assert window.recipe.isVisible() and len(window.session.keeping.waiting) == 2


def test_a_session_that_is_saved_on_the_way_out_is_there(worked, start, tmp_path, engine):
    window = start()
    release = threading.Event()
    window.session._file("slow", lambda: release.wait(5), lambda _: None, "waiting")
    window.session.keeping.save(tmp_path / "late.mriws.json")
    time.sleep(0.2)
    release.set()
    window.session.close()
    assert session_file.read(tmp_path / "late.mriws.json").scans == ()


def test_of_two_sessions_one_is_opened_and_that_is_said(worked, start, save, tmp_path, qtbot):
    files = [tmp_path / "a.mriws.json", tmp_path / "b.mriws.json"]
    for file in files:
        save(worked, file)
    session = start().session
    session.open(files)
    qtbot.waitUntil(lambda: session.keeping.path == files[1], timeout=9000)
    assert any("of 2, b.mriws.json" in message.text for message in session.seen)


@pytest.mark.parametrize("where", ["a fresh window", "beside a scan", "where it was saved"])
def test_an_opened_session_is_where_undo_begins(worked, start, save, tmp_path, qtbot, press_in, scans, where):
    file = tmp_path / "brain.mriws.json"
    press_in(worked, Qt.Key.Key_P)  # read with the images, and so later than the rest comes back
    qtbot.waitUntil(lambda: worked.session.preview is not None, timeout=9000)
    worked.session.view.set_levels(-1.0, 2.0)
    save(worked, file)
    levels = worked.session.view.kept_levels
    assert len(levels) == 3
    if where == "a fresh window":
        session = start(file).session
    else:
        session = worked.session if where == "where it was saved" else start(scans / "knee.h5").session
        for acceleration in (4, 6):
            assert session.set_request(acceleration=acceleration)
            session.history._settle()
        session.history.undo()
        session.view.set_levels(-2.0, 2.0)
        assert session.history.undoes and session.history.redoes
        session.open(file)
        qtbot.waitUntil(lambda: session.request.mask.acceleration == 8, timeout=9000)
    qtbot.waitUntil(lambda: session.preview is not None and session.view.kept_levels == levels, timeout=9000)
    history = session.history
    assert (history.undoes, history.redoes) == ("", "")
    history._settle()
    assert (history.undoes, history.redoes) == ("", "")
    # What is changed from now on is taken back to it.
    assert session.set_request(acceleration=2)
    history.undo()
    assert session.request.mask.acceleration == 8 and session.view.kept_levels == levels
