"""The real window without a screen: opens scans, reconstructs a slice and saves what the window looks like.

Runs in a process of its own (``python -m app.headless``), because Qt's platform is chosen once for a process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from recon.errors import MRIError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.messages import Message
    from app.session import Session
    from recon.request import Request

_SIZE = (1600, 900)
_OPEN_TIMEOUT_S = 120
_WORK_TIMEOUT_S = 900


def take_screenshot(paths: Sequence[Path], request: Request, screenshot: Path) -> Path:
    """Show the window offscreen in another process and save its picture after a reconstruction.

    Parameters
    ----------
    paths
        Scans to open; the first one is shown and the slice in its middle reconstructed.
    request
        How.
    screenshot
        PNG file to write.

    Raises
    ------
    MRIError
        If Qt does not start, or the window reports an error.
    """
    root = str(Path(__file__).resolve().parent.parent)
    python_path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"QT_QPA_PLATFORM": "offscreen", "PYTHONPATH": python_path}
    command = [sys.executable, "-m", "app.headless", request.to_json(), str(screenshot), *map(str, paths)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=_WORK_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise MRIError(f"the window did not finish within {_WORK_TIMEOUT_S} s.") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        reason = lines[-1] if lines else f"it ended with status {done.returncode}"
        raise MRIError(
            f"the window could not be shown offscreen: {reason}. `mri-workstation doctor` says what to install."
        )
    return screenshot


def run_window(paths: Sequence[Path], request: Request, screenshot: Path) -> None:
    """Do the same in this process.

    Raises
    ------
    MRIError
        If the window reports an error, or something takes too long.
    """
    from PySide6.QtWidgets import QApplication

    application = QApplication.instance() or QApplication(sys.argv[:1])
    assert isinstance(application, QApplication)
    from app.main_window import MainWindow
    from app.session import Session
    from app.window import save_screenshot
    from recon.export.atomic import atomic_file

    errors: list[str] = []

    def note(message: Message) -> None:
        if message.level == "error":
            errors.append(message.text)

    def wait(is_done: Callable[[], object], what: str, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not is_done():
            application.processEvents()
            if errors:
                raise MRIError(errors[0])
            if time.monotonic() > deadline:
                raise MRIError(f"{what} took more than {timeout_s:g} s.")
            time.sleep(0.01)

    with tempfile.TemporaryDirectory(prefix="mri-workstation-") as folder:
        # Settings of its own: the user's recent files and theme are not touched.
        session = Session(Path(folder) / "settings.json")
        session.message.connect(note)
        window = MainWindow(session)
        window.resize(*_SIZE)
        window.show()
        try:
            session.open(list(paths))
            session.start()
            wait(lambda: _is_open(session, len(paths)), "opening the scans", _OPEN_TIMEOUT_S)
            session.set_request(request)
            wait(lambda: session.preview is not None, "showing the scan", _OPEN_TIMEOUT_S)
            finished: list[str] = []
            session.job_finished.connect(finished.append)
            if not session.reconstruct():
                raise MRIError(session.problem or "the reconstruction did not start.")
            wait(lambda: finished, "the reconstruction", _WORK_TIMEOUT_S)
            # One more look at the queue: what the result changed has to be laid out and painted.
            until = time.monotonic() + 0.5
            wait(lambda: time.monotonic() > until, "painting", _OPEN_TIMEOUT_S)
            with atomic_file(screenshot) as temporary:
                save_screenshot(window, temporary)
        finally:
            session.close()
            window.close()


def _is_open(session: Session, n_paths: int) -> bool:
    series = [item for study in session.studies for item in study.series]
    has_thumbnails = all(item in session.previews.thumbnails for item in series)
    return len(session.studies) == n_paths and not session.opening and has_thumbnails and bool(session.models)


def main(words: Sequence[str]) -> int:
    """Run the window as the arguments say."""
    from recon.request import Request

    parser = argparse.ArgumentParser(prog="app.headless")
    parser.add_argument("request", type=json.loads)
    parser.add_argument("screenshot", type=Path)
    parser.add_argument("paths", nargs="+", type=Path)
    arguments = parser.parse_args(words)
    try:
        run_window(arguments.paths, Request.from_dict(arguments.request), arguments.screenshot)
    except MRIError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
