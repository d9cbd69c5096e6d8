"""Processes end with the one that started them, however it ends, and leave no folder behind."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from recon import phantom

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 120


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    for number in range(2):
        phantom.write(
            folder / f"head{number}.h5", phantom.PhantomSpec(n_slices=60, n_coils=4, matrix=(128, 128), seed=number)
        )
    return folder


@pytest.fixture
def start(scans, tmp_path):
    """Start a command with two processes; returns it when both work, and the folder for what is temporary."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    started = []

    def start(*words, **more):
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TMPDIR": str(temporary)}
        command = [sys.executable, "-m", "app.cli", words[0], scans, "--model", "cs-tv", "--device", "cpu"]
        process = subprocess.Popen(
            [*map(str, command), "--processes", "2", "--out", str(tmp_path / "out"), *words[1:]],
            cwd=tmp_path,
            env=environment,
            text=True,
            **{"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL, "preexec_fn": heed_signals} | more,
        )
        started.append(process)
        wait_until(lambda: len(list(temporary.glob("*/progress-*"))) == 2 or process.poll() is not None)
        assert process.poll() is None
        assert len(workers(temporary)) >= 2
        return process, temporary

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()
    for pid in workers(temporary):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def heed_signals():
    """What starts the tests in the background may have them ignore signals, and children inherit that."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def workers(temporary):
    """The processes whose job lies in the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_bytes().decode(errors="replace")
            if "training.predict" in words and str(temporary) in words:
                found.append(int(path.parent.name))
    return found


def wait_until(is_so):
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(("command", "number"), [("evaluate", signal.SIGTERM), ("reconstruct", signal.SIGHUP)])
def test_a_signal_ends_all_processes_and_leaves_no_folder(start, command, number):
    process, temporary = start(command)
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + number
    assert f"ended by {number.name}" in err
    assert "Traceback" not in err
    if command == "evaluate":
        assert "the same command goes on" in err
    assert workers(temporary) == []
    assert list(temporary.glob("mri-workstation-*")) == []


@pytest.mark.slow
def test_a_closed_terminal_ends_all_processes(start):
    master, terminal = pty.openpty()

    def take_the_terminal():
        heed_signals()
        os.close(os.open(os.ttyname(0), os.O_RDWR))

    process, temporary = start(
        "evaluate", stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
        preexec_fn=take_the_terminal,
    )  # fmt: skip
    os.close(terminal)
    os.close(master)
    assert process.wait(PATIENCE_S) == 128 + signal.SIGHUP
    assert workers(temporary) == []
    assert list(temporary.glob("mri-workstation-*")) == []


@pytest.mark.parametrize("victim", ["parent", pytest.param("leader", marks=pytest.mark.slow)])
def test_processes_end_also_where_one_is_killed(start, victim):
    process, temporary = start("reconstruct")
    leader = next(pid for pid in workers(temporary) if parent_of(pid) == process.pid)
    if victim == "parent":
        process.kill()
    else:
        os.kill(leader, signal.SIGKILL)
    process.wait(PATIENCE_S)
    wait_until(lambda: not workers(temporary))
    wait_until(lambda: not list(temporary.glob("mri-workstation-*")))


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.slow
def test_what_nohup_ignores_stays_ignored(start):
    process, _ = start("reconstruct", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 128 + signal.SIGTERM
