"""Which process trains: a number that is used again is not mistaken for it, and nobody else is signalled."""

import os
import signal
import subprocess
import sys
import time

import pytest

from app.training import process as training_process
from app.training.process import Identity

SLEEP = "import sys, time; print('up', flush=True); time.sleep(60)"


@pytest.fixture
def start(tmp_path):
    """Start a process that looks like a training into a folder, in a group of its own."""
    processes = []

    def begin(folder, *words, cwd=None):
        process = subprocess.Popen(
            [sys.executable, "-c", SLEEP, "train", "recipe.toml", *(words or ("--out", str(folder)))],
            stdout=subprocess.PIPE, start_new_session=True, cwd=cwd,
        )  # fmt: skip
        processes.append(process)
        assert process.stdout.readline() == b"up\n"
        return process

    yield begin
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_training_is_recognised_by_number_start_and_folder(start, tmp_path):
    process = start(tmp_path / "run")
    identity = training_process.identify(process.pid, tmp_path / "run")
    assert identity.pid == process.pid
    assert training_process.is_alive(identity, tmp_path / "run")
    assert training_process.identify(process.pid, tmp_path / "other") is None
    # The same number at another time is somebody else.
    assert not training_process.is_alive(Identity(process.pid, "then"), tmp_path / "run")
    assert not training_process.is_alive(None, tmp_path / "run")


def test_a_number_used_again_is_never_signalled(start, tmp_path):
    process = start(tmp_path / "run")
    for identity, folder in (
        (Identity(process.pid, "then"), tmp_path / "run"),
        (training_process.identify(process.pid, tmp_path / "run"), tmp_path / "other"),
    ):
        assert not training_process.ask_to_end(identity, folder)
        assert not training_process.kill(identity, folder)
    assert process.poll() is None


def test_somebody_elses_training_is_found_also_by_a_relative_path(start, tmp_path):
    assert training_process.find(tmp_path / "run") is None
    first, second = start(tmp_path / "run"), start(None, "--out=deep/run", cwd=tmp_path)
    assert training_process.find(tmp_path / "run").pid == first.pid
    assert training_process.find(tmp_path / "deep" / "run").pid == second.pid


def test_asked_to_end_and_killed(start, tmp_path):
    for ask, number in (
        (training_process.ask_to_end, signal.SIGTERM),
        (training_process.kill, signal.SIGKILL),
    ):
        process = start(tmp_path / "run")
        identity = training_process.identify(process.pid, tmp_path / "run")
        assert ask(identity, tmp_path / "run")
        # Dead, though nobody has collected it yet.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not training_process.is_alive(identity, tmp_path / "run")
        assert not ask(identity, tmp_path / "run")
        assert process.wait() == -number


def test_without_a_list_of_processes_the_program_ps_is_asked(start, tmp_path, monkeypatch):
    process = start(tmp_path / "a run")
    if subprocess.run(["sh", "-c", "command -v ps"], capture_output=True, check=False).returncode != 0:
        pytest.skip("there is no program ps")
    monkeypatch.setattr(training_process, "PROC", tmp_path / "none")
    identity = training_process.identify(process.pid, tmp_path / "a run")
    assert identity is not None
    assert str(time.localtime().tm_year) in identity.started
    assert training_process.is_alive(identity, tmp_path / "a run")
    assert training_process.find(tmp_path / "a run") is None
    assert training_process.identify(process.pid, tmp_path / "other") is None
