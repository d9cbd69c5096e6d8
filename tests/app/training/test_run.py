"""A real training from the window: started, paused, found again, killed, resumed and published."""

import os
import shutil
import signal
import stat
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.main_window import MainWindow
from app.session import Session
from app.training import process as training_process
from app.training import watch as training_watch
from app.training.events import EVENTS
from app.training.launch import module_process
from app.training.process import Identity
from app.training.recipe import to_toml
from app.training.run import TrainingRun

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
LONG_MS = 240_000
TINY = {
    "model": "pcrnn-4x-1x", "n_coils": 2, "overrides": {"widths": [4, 4], "refine_width": 4, "n_iterations": 1},
    "accelerations": [4], "sizes": [32], "samples_per_epoch": 8, "epochs": 4000, "learning_rate": 3e-3,
    "validation_slices": 1, "precision": "fp32", "max_simulated_coils": 3,
}  # fmt: skip


@pytest.fixture
def images(tmp_path):
    import h5py

    z, y, x = np.meshgrid(*(np.linspace(-1, 1, 40) for _ in range(3)), indexing="ij")
    ball = (np.sqrt(z**2 + y**2 + x**2) < 0.8) * (1 + 0.3 * np.sin(12 * x) * np.cos(9 * y))
    with h5py.File(tmp_path / "images.h5", "w") as file:
        file["train/ball"] = file["validation/ball"] = (ball * 200).astype(np.uint8)
    return tmp_path / "images.h5"


@pytest.fixture
def python(tmp_path, monkeypatch):
    """Let a shell script stand in for the Python that trains."""

    def use(script):
        file = tmp_path / "stand-in"
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setattr("app.training.run.sys.executable", str(file))

    return use


@pytest.fixture
def run(qapp):
    run = TrainingRun()
    run.said = []
    for name, signal_ in (("failed", run.failed), ("succeeded", run.succeeded), ("output", run.output)):
        signal_.connect(lambda text, *_, name=name: run.said.append((name, text)))
    run.found.connect(lambda text: run.said.append(("found", text)))
    yield run
    if run.identity is not None:
        training_process.kill(run.identity, run.folder)
    run.close()


def click(widget, where=None):
    assert widget.isVisible(), widget.objectName()
    assert widget.isEnabled(), widget.objectName()
    QTest.mouseClick(widget, LEFT, NONE, widget.rect().center() if where is None else where)


def open_window(qtbot, config):
    session = Session(config)
    session.seen = []
    session.message.connect(session.seen.append)
    window = MainWindow(session)
    qtbot.addWidget(window)
    window.show()
    qtbot.waitExposed(window)
    session.start()
    return window


# ---------------------------------------------------------------- the journey


def test_a_lab_trains_from_the_window(qtbot, tmp_path, images, monkeypatch, child):
    monkeypatch.setenv("MRI_WORKSTATION_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    presets = tmp_path / "presets"
    presets.mkdir()
    (presets / "tiny.toml").write_text("# As small as it gets.\n# It learns nothing.\n" + to_toml(TINY))
    monkeypatch.setattr("app.training.recipe.PRESETS", presets)
    config = tmp_path / "settings.json"

    # The page of the settings: data and its check, recipe, device, where to.
    window = open_window(qtbot, config)
    session = window.session
    qtbot.waitUntil(lambda: bool(session.models), timeout=LONG_MS)
    window.ask_training()
    dialog = QApplication.activeModalWidget()
    page = dialog.training
    click(child(dialog, "startTraining"))
    assert "Choose the data" in dialog.problem.text()
    QTest.keyClicks(page.data.edit, str(images))
    click(child(dialog, "checkTrainingData"))
    report = child(dialog, "trainingDataReport")
    qtbot.waitUntil(lambda: "1 volume" in report.toPlainText(), timeout=LONG_MS)
    assert "simulated" in report.toPlainText()
    assert page.recipe.currentData() == "tiny"
    assert "It learns nothing." in page.summary.text()
    page.model.setCurrentIndex(page.model.findData("pcrnn-4x-1x"))
    page.device.setCurrentIndex(page.device.findData("cpu"))
    page.minutes.setValue(0)
    QTest.mouseClick(page.masks["random"], LEFT, NONE, QPoint(8, 8))
    QTest.keyClicks(page.output.edit, str(tmp_path / "runs"))
    click(child(dialog, "startTraining"))

    # It trains in a process of its own, and the monitor shows it.
    run, monitor = session.training, child(window, "trainingMonitor")
    folder = tmp_path / "runs" / "pcrnn-4x-1x-001"
    assert run.folder == folder
    assert run.is_running
    assert monitor.isVisible()
    recipe = (folder / "recipe.toml").read_text()
    assert f'images = "{images}"' in recipe
    assert 'mask_kinds = ["random"]' in recipe
    assert "refine_width = 4" in recipe
    qtbot.waitUntil(lambda: len(run.record.curves["psnr"][0]) >= 2, timeout=LONG_MS)
    qtbot.waitUntil(lambda: not monitor.preview.picture.image.isNull(), timeout=LONG_MS)
    assert monitor.state.text() == "training"
    assert monitor.numbers()["PSNR"].split()[1] == "dB"
    drawn = monitor.plots.drawn()
    assert [name.partition(": ")[2] for name in drawn["PSNR, dB"]] == ["zero_filled_psnr", "psnr"]
    assert [name.partition(": ")[2] for name in drawn["SSIM"]] == ["zero_filled_ssim", "ssim"]
    assert session.settings.training_pid == run.identity.pid

    # The window closes, the training goes on, and the next window finds it.
    identity = run.identity
    window.close()
    session.close()
    assert training_process.is_alive(identity, folder)
    window = open_window(qtbot, config)
    session, run, monitor = window.session, window.session.training, child(window, "trainingMonitor")
    qtbot.waitUntil(lambda: run.state == "training", timeout=LONG_MS)
    assert run.identity == identity
    assert any("still running" in message.text for message in session.seen)
    assert monitor.isVisible()
    n_before = len(run.record.curves["psnr"][0])
    assert n_before >= 2
    qtbot.waitUntil(lambda: len(run.record.curves["psnr"][0]) > n_before, timeout=LONG_MS)

    # Paused, it leaves a checkpoint; resumed, its curves go on.
    click(child(monitor, "pauseTraining"))
    assert monitor.state.text() == "pausing"
    assert child(monitor, "stopTraining").text() == "Kill"
    qtbot.waitUntil(lambda: run.state == "paused", timeout=LONG_MS)
    assert "Resume goes on" in child(monitor, "trainingSentence").text()
    assert not training_process.is_alive(identity, folder)
    assert session.settings.training_pid == 0
    last = run.record.curves["psnr"][0][-1]
    click(child(monitor, "resumeTraining"))
    assert run.state == "starting"
    qtbot.waitUntil(lambda: run.record.curves["psnr"][0][-1] > last, timeout=LONG_MS)
    steps = run.record.curves["psnr"][0]
    assert steps == sorted(set(steps))

    # Killed from outside, it is shown as that, and the window lives.
    os.kill(run.identity.pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: run.state == "killed", timeout=LONG_MS)
    assert "ended without a word" in child(monitor, "trainingSentence").text()
    assert any(message.level == "error" and "without a word" in message.text for message in session.seen)

    # Its weights go into the list of models.
    click(child(monitor, "publishTraining"))
    with qtbot.waitSignal(run.published, timeout=LONG_MS) as published:
        assert not child(monitor, "publishTraining").isEnabled()
    assert Path(published.args[0]).parent == tmp_path / "weights"
    qtbot.waitUntil(
        lambda: any(card.name == "pcrnn-4x-1x" and card.weights for card in session.models), timeout=LONG_MS
    )
    assert "Research use only" in session.seen[-1].text
    window.close()
    session.close()


# ---------------------------------------------------------------- how it can go wrong


def outcome_of(run, qtbot, tmp_path, state):
    assert run.start({"model": "pcrnn-s"}, tmp_path / "run")
    qtbot.waitUntil(lambda: run.state == state, timeout=20_000)
    return run.sentence


def test_an_error_of_the_training_is_its_sentence(run, qtbot, tmp_path, python):
    python("echo 'a warning' >&2; echo 'mri-workstation: error: /heads.h5: there is no such file.' >&2; exit 2")
    said = outcome_of(run, qtbot, tmp_path, "failed")
    assert said == "The training run stopped: /heads.h5: there is no such file."
    assert run.said == [("failed", said)]
    assert not run.can_resume
    # The next start has its own part of the log.
    python("exit 0")
    assert run.start({"model": "pcrnn-s"}, tmp_path / "run")
    qtbot.waitUntil(lambda: run.state == "killed", timeout=20_000)
    assert "no such file" not in run.sentence


def test_a_crash_names_itself(run, qtbot, tmp_path, python):
    python("echo 'Fatal Python error: Segmentation fault' >&2; kill -SEGV $$")
    assert "Segmentation fault" in outcome_of(run, qtbot, tmp_path, "failed")


def test_a_python_that_is_not_there_is_said(run, qtbot, tmp_path, monkeypatch):
    monkeypatch.setattr("app.training.run.sys.executable", "/nowhere/python")
    assert "not found" in outcome_of(run, qtbot, tmp_path, "killed")


def test_a_run_that_ends_well_is_said_once(run, qtbot, tmp_path, python, write_events):
    events = ({"event": "step", "step": 5, "loss": 0.5, "share": 0.5}, {"event": "done", "step": 9})
    write_events(tmp_path, *events)
    python(f"sleep 1; cp {tmp_path}/{EVENTS} {tmp_path}/run/; sleep 1")
    said = outcome_of(run, qtbot, tmp_path, "finished")
    qtbot.wait(1500)
    assert run.said == [("succeeded", said)]
    assert run.record.share == 1.0


def test_a_run_that_does_not_listen_is_killed_by_the_second_stop(run, qtbot, tmp_path, python):
    python("trap '' TERM; while :; do sleep 0.1; done")
    assert run.start({"model": "pcrnn-s"}, tmp_path / "run")
    qtbot.wait(500)
    run.stop()
    assert run.state == "stopping"
    qtbot.wait(1500)
    assert run.is_running
    run.stop()
    qtbot.waitUntil(lambda: run.state == "killed", timeout=20_000)
    assert "as you asked" in run.sentence
    assert [kind for kind, _ in run.said] == ["output"]


@pytest.mark.parametrize(("wanted", "state"), [("pause", "paused"), ("stop", "stopped")])
def test_a_pause_and_a_stop_are_told_apart_also_by_the_next_window(run, qtbot, tmp_path, python, wanted, state):
    python(
        f"trap 'touch {tmp_path}/run/last.ckpt; echo interrupted >&2; exit 130' TERM; touch {tmp_path}/up; "
        "while :; do sleep 0.1; done"
    )
    assert run.start({"model": "pcrnn-s"}, tmp_path / "run")
    qtbot.waitUntil(lambda: (tmp_path / "up").exists(), timeout=20_000)
    getattr(run, wanted)()
    assert run.state == {"pause": "pausing", "stop": "stopping"}[wanted]
    qtbot.waitUntil(lambda: run.state == state, timeout=20_000)
    assert ("Resume" if wanted == "pause" else "Publish") in run.sentence
    assert run.said == [("output", run.sentence)]
    later = TrainingRun()
    later.adopt(tmp_path / "run")
    qtbot.waitUntil(lambda: later.state == state, timeout=20_000)
    assert later.can_resume
    assert later.can_publish
    later.close()
    # Gone on with, it is neither any more.
    python("exit 0")
    assert run.resume()
    qtbot.waitUntil(lambda: run.state == "killed", timeout=20_000)


def test_a_training_holds_no_file_that_the_window_has_open(run, qtbot, tmp_path, python):
    import h5py

    held = tmp_path / "held.h5"
    file = h5py.File(held, "w", locking=True)
    python(f"touch {tmp_path}/up; sleep 30")
    assert run.start({"model": "pcrnn-s"}, tmp_path / "run")
    qtbot.waitUntil(lambda: (tmp_path / "up").exists(), timeout=20_000)
    file.close()
    # A lock ends with the last process that holds the file.
    with h5py.File(held, "r+", locking=True) as file:
        assert not len(file)
        output = []
        process = module_process(run)
        process.finished.connect(lambda *_: output.append(bytes(process.readAllStandardOutput().data())))
        process.start("/bin/sh", ["-c", "ls -l /proc/$$/fd || true"])
        qtbot.waitUntil(lambda: bool(output), timeout=20_000)
        assert b"held.h5" not in output[0]
    assert run.is_running


def test_a_machine_that_refuses_another_process_is_said(run, tmp_path, monkeypatch):
    def refuse(*_arguments, **_words):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("app.training.launch.subprocess.run", refuse)
    assert not run.start({"model": "pcrnn-s"}, tmp_path / "run")
    assert run.state == "failed"
    assert "temporarily unavailable" in run.said[0][1]


def test_a_folder_that_goes_away_is_said_while_it_trains_and_after(run, qtbot, tmp_path, python):
    python("sleep 30")
    assert run.start({"model": "pcrnn-s"}, tmp_path / "run")
    qtbot.wait(300)
    shutil.rmtree(tmp_path / "run")
    qtbot.waitUntil(lambda: "cannot be saved" in run.sentence, timeout=20_000)
    assert run.is_running
    run.stop()
    qtbot.waitUntil(lambda: run.state == "gone", timeout=20_000)
    assert not run.can_resume
    assert not run.publish()


def test_only_one_run_and_never_over_another(run, qtbot, tmp_path, python):
    python("sleep 30")
    assert run.start({"model": "pcrnn-s"}, tmp_path / "run")
    assert not run.start({"model": "pcrnn-s"}, tmp_path / "other")
    assert "running already" in run.said[-1][1]
    run.stop()
    qtbot.waitUntil(lambda: not run.is_running, timeout=20_000)
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "last.ckpt").touch()
    assert not run.start({"model": "pcrnn-s"}, tmp_path / "done")
    assert "holds a run already" in run.said[-1][1]
    (tmp_path / "file").touch()
    assert not run.start({"model": "pcrnn-s"}, tmp_path / "file" / "run")
    assert "a part of the path is a file" in run.said[-1][1]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "log.txt").symlink_to("/dev/full")
    assert not run.start({"model": "pcrnn-s"}, tmp_path / "full")
    assert "log.txt: could not be written: the disk is full; free some space" in run.said[-1][1]


def test_a_second_start_is_refused_where_it_is_wanted(window, qtbot, tmp_path, python, child):
    run = window.session.training
    python("sleep 30")
    assert run.start({"model": "pcrnn-s"}, tmp_path / "run")
    window.ask_training()
    dialog = QApplication.activeModalWidget()
    dialog.training.data.edit.setText(str(tmp_path))
    dialog.training.output.edit.setText(str(tmp_path / "runs"))
    click(child(dialog, "startTraining"))
    assert dialog.isVisible()
    assert dialog.problem.text() == "A training is running already; stop it first."
    dialog.reject()
    training_process.kill(run.identity, tmp_path / "run")


def test_a_reused_number_is_not_found_and_the_end_is_reported(run, qtbot, tmp_path, write_events):
    write_events(tmp_path / "run", {"event": "step", "step": 5, "loss": 0.5}, {"event": "done"})
    run.adopt(tmp_path / "run", Identity(os.getpid(), "long ago"), is_found=True)
    qtbot.waitUntil(lambda: run.state == "finished", timeout=20_000)
    assert [kind for kind, _ in run.said] == ["found"]
    assert run.identity is None


def test_a_run_that_somebody_else_started_is_followed_and_not_doubled(run, qtbot, tmp_path, python):
    python("sleep 30")
    other = TrainingRun()
    assert other.start({"model": "pcrnn-s"}, tmp_path / "run")
    identity = other.identity
    other.close()
    (tmp_path / "run" / "last.ckpt").touch()
    run.adopt(tmp_path / "run")
    qtbot.waitUntil(lambda: run.is_running, timeout=20_000)
    assert run.identity == identity
    run.state = "paused"  # as a window has it that looked before the other one resumed
    assert not run.resume()
    assert "trains already" in run.said[-1][1]
    assert run.identity == identity


def test_what_fits_is_offered_and_taken(run, qtbot, tmp_path, python, write_events):
    write_events(tmp_path, {"event": "start"}, {"event": "out_of_memory", "step": 0, "offer": {"batch_size": 2}})
    python(
        f'cp {tmp_path}/{EVENTS} {tmp_path}/run/; echo "$@" >> {tmp_path}/words; '
        "echo 'mri-workstation: error: no memory.' >&2; exit 1"
    )
    outcome_of(run, qtbot, tmp_path, "failed")
    assert run.offer == {"batch_size": 2}
    assert run.resume("cpu", run.offer)
    qtbot.waitUntil(lambda: run.state == "failed", timeout=20_000)
    first, second = (tmp_path / "words").read_text().splitlines()
    assert "--set" not in first
    assert "--set batch_size=2" in second
    # There was no checkpoint to resume from.
    assert "--resume" not in second


def test_a_process_that_turns_into_another_program_is_not_taken_for_dead(tmp_path, monkeypatch):
    words = iter([[], [], ["python", "train", "--out", str(tmp_path)]])
    monkeypatch.setattr(training_process, "_look", lambda _: ("a moment", next(words)))
    assert training_process.identify(7, tmp_path) == Identity(7, "a moment")


def test_what_was_seen_before_a_start_does_not_judge_it(run, qtbot, tmp_path, python):
    python("sleep 30")
    assert run.start({"model": "pcrnn-s"}, tmp_path / "run")
    qtbot.waitUntil(lambda: run.is_running, timeout=20_000)
    dead = training_watch.Look((), False, False, False, None, True, False, "")
    run._take(run._tail, run._n_launches - 1, dead)
    assert run.is_running
    run._take(run._tail, run._n_launches, dead)
    assert run.state == "killed"


def test_a_publishing_that_fails_says_why(run, qtbot, tmp_path, python, write_events):
    write_events(tmp_path / "run", {"event": "done"})
    (tmp_path / "run" / "last.ckpt").touch()
    run.adopt(tmp_path / "run")
    qtbot.waitUntil(lambda: run.can_publish, timeout=20_000)
    python("echo 'last.ckpt: the checkpoint cannot be read.' >&2; exit 2")
    assert run.publish()
    assert not run.can_publish
    qtbot.waitUntil(lambda: not run.is_publishing, timeout=20_000)
    assert run.said[-1] == ("failed", "The weights were not published: last.ckpt: the checkpoint cannot be read.")
    assert run.can_publish


@pytest.mark.parametrize(("warning", "level"), [("", "success"), ("1.31 dB worse than zero-filled", "warning")])
def test_weights_that_are_worse_than_none_are_no_plain_success(window, qtbot, tmp_path, python, warning, level):
    session, run = window.session, window.session.training
    told = []
    session.message.connect(told.append)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "last.ckpt").touch()
    run.adopt(tmp_path / "run")
    qtbot.waitUntil(lambda: run.can_publish, timeout=20_000)
    python(f"""echo '{{"installed": "/weights/run-1.safetensors", "warning": "{warning}"}}'""")
    with qtbot.waitSignal(run.published, timeout=20_000) as published:
        assert run.publish()
    assert published.args == ["/weights/run-1.safetensors", warning]
    (message,) = [one for one in told if "run-1.safetensors" in one.text]
    assert message.level == level and warning in message.text


def test_the_window_closes_without_a_question_while_it_trains(window, qtbot, tmp_path, python):
    run = window.session.training
    python("sleep 30")
    assert run.start({"model": "pcrnn-s"}, tmp_path / "run")
    qtbot.wait(300)
    identity = run.identity
    assert window.close()
    assert training_process.is_alive(identity, tmp_path / "run")
    training_process.kill(identity, tmp_path / "run")
