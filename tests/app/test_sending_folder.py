"""The folder of what is sent: it goes with a signal, and what a killed program left goes at the next time."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.sending_folder import EndGuard, folder_of_its_own

ROOT = Path(__file__).resolve().parents[2]
SENDS = """
import sys
from pathlib import Path
from types import SimpleNamespace
from PySide6.QtCore import QCoreApplication, QObject, QTimer, Signal
from app.sending import Sending

class Session(QObject):
    message = Signal(object)
    settings = SimpleNamespace(pacs_calling="ME", pacs_confirmed=("127.0.0.1",), pacs_destinations=())
    result = None

def save(folder, formats):
    (folder / "a.dcm").write_bytes(Path(sys.argv[2]).read_bytes())
    print("saved", flush=True)

application = QCoreApplication([])
heartbeat = QTimer(interval=100)
heartbeat.timeout.connect(lambda: None)
heartbeat.start()
sending = Sending(Session())
result = SimpleNamespace(reconstruction=SimpleNamespace(indices=[0], save=save))
assert sending.send(sys.argv[1], result=result)
application.exec()
"""


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Give the folder for temporary files, and to child processes too."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield folder
    tempfile.tempdir = None


@contextmanager
def sending(silent_pacs, file):
    words = [sys.executable, "-c", SENDS, silent_pacs, str(file)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "saved\n"
            yield process
        finally:
            process.kill()


def age(folder):
    os.utime(folder, (time.time() - 3600,) * 2)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_program_and_the_folder_goes_with_it(
    temporary, silent_pacs, write_instances, tmp_path, number
):
    (file,) = write_instances(tmp_path / "files", 1)
    with sending(silent_pacs, file) as process:
        assert len(list(temporary.glob("mri-workstation-send-*/*.dcm"))) == 1
        process.send_signal(number)
        assert process.wait(30) == -number
    assert list(temporary.iterdir()) == []


def test_what_a_killed_program_left_goes_and_what_another_one_uses_stays(
    temporary, silent_pacs, write_instances, tmp_path
):
    (file,) = write_instances(tmp_path / "files", 1)
    with sending(silent_pacs, file):
        (used,) = temporary.iterdir()
        age(used)
        with folder_of_its_own() as own:
            assert set(temporary.iterdir()) == {used, own}
    assert list(temporary.iterdir()) == [used]
    os.utime(used)  # somebody may have made it this moment, and not locked it yet
    with folder_of_its_own() as own:
        assert set(temporary.iterdir()) == {used, own}
    age(used)
    with folder_of_its_own() as own:
        assert list(temporary.iterdir()) == [own]
    assert list(temporary.iterdir()) == []


def test_links_and_what_others_call_alike_stay(temporary, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a").touch()
    age(elsewhere)
    (temporary / "mri-workstation-send-link").symlink_to(elsewhere)
    (temporary / "mri-workstation-send-file").touch()
    age(temporary / "mri-workstation-send-file")
    with folder_of_its_own():
        assert len(list(temporary.iterdir())) == 3
    assert (elsewhere / "a").exists()


def test_a_guard_leaves_the_signals_as_they_were():
    former = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGHUP)]
    guard = EndGuard(lambda: None)
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        guard.begin()
        assert callable(signal.getsignal(signal.SIGTERM))
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        guard.end()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        for one, handler in zip((signal.SIGTERM, signal.SIGHUP), former, strict=True):
            signal.signal(one, handler)
