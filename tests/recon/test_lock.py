"""One run at a time writes into a folder, and no lock outlives its process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from recon.errors import RequestError
from recon.lock import locked

ROOT = Path(__file__).resolve().parents[2]
HOLD = """
import sys, time
from pathlib import Path
from recon.lock import locked
with locked(Path(sys.argv[1]), "evaluate"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock."""
    path = tmp_path / "out" / "evaluation.lock"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process, path
        process.kill()


def test_a_second_run_is_told_who_holds_the_folder(holder):
    process, path = holder
    words = f"{path.parent} is in use: process {process.pid} on {socket.gethostname()}"
    with pytest.raises(RequestError, match=words), locked(path, "evaluate"):
        pass
    assert json.loads(path.read_text())["pid"] == process.pid


def test_the_lock_of_a_killed_process_is_taken_over(holder):
    process, path = holder
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert path.exists()
    with locked(path, "evaluate"):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert not path.exists()


def test_the_children_of_a_killed_process_do_not_hold_its_lock(tmp_path):
    path = tmp_path / "evaluation.lock"
    forks = HOLD.replace('print("held", flush=True)', r"os.write(1, b'%d\n' % os.fork())").replace(
        "import ", "import os, ", 1
    )
    command = [sys.executable, "-c", forks, str(path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        child = max(int(process.stdout.readline()), int(process.stdout.readline()))
        process.kill()
        process.wait()
        try:
            with locked(path, "evaluate"):
                os.kill(child, 0)  # it is still there
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_lock_goes_also_where_the_work_fails(tmp_path):
    path = tmp_path / "new" / "evaluation.lock"
    with pytest.raises(ZeroDivisionError), locked(path, "evaluate"):
        raise ZeroDivisionError
    assert not path.exists()
