"""Opens the window: first the window, then everything that takes time.

``MRI_WORKSTATION_EXIT_AFTER_SHOW=1`` closes it as soon as it is painted and prints how long that took, as JSON.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any

from app import display
from recon.errors import MRIError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from app.main_window import MainWindow
    from app.session import Session

EXIT_AFTER_SHOW = "MRI_WORKSTATION_EXIT_AFTER_SHOW"


def open_window(paths: Sequence[Path | str] = (), demo: bool = False) -> int:
    """Show the main window and run it until it is closed.

    Parameters
    ----------
    paths
        Files and folders to open.
    demo
        Open the demo study.

    Returns
    -------
        Exit status.

    Raises
    ------
    MRIError
        If there is no display to show it on.
    """
    start = time.perf_counter()
    if problem := display.problem(os.environ.get("QT_QPA_PLATFORM", "")):
        raise MRIError(
            f"the window needs a display, and {problem}. The sub-commands, such as `mri-workstation reconstruct`, need "
            "none, nor does `mri-workstation demo --reconstruct`."
        )
    from PySide6.QtCore import QTimer
    from PySide6.QtWidgets import QApplication

    application = QApplication.instance() or QApplication(sys.argv[:1])
    assert isinstance(application, QApplication)
    application.setApplicationName("mri-workstation")
    application.setApplicationDisplayName("MRI workstation")

    from app import theme
    from app.main_window import MainWindow
    from app.session import Session

    logging.getLogger("app").setLevel(logging.DEBUG)
    logging.getLogger("recon").setLevel(logging.INFO)
    session = Session()
    window = MainWindow(session)
    theme.follow_platform(application)
    install_excepthook(session)
    # Ctrl+C in the terminal ends the program as closing the window does; Python needs a turn now and then to notice.
    signal.signal(signal.SIGINT, lambda *_: window.close())
    heartbeat = QTimer(application, interval=300)
    heartbeat.timeout.connect(lambda: None)
    heartbeat.start()
    window.show()
    application.processEvents()
    if os.environ.get(EXIT_AFTER_SHOW):
        _report_start(start)
        window.close()
        return 0
    if paths:
        session.open(list(paths))
    elif demo:
        session.open_demo()
    # The studies are queued first: what the user asked for comes before what may be needed later.
    session.start()
    return int(application.exec())


def install_excepthook(session: Session) -> None:
    """Show what nobody caught as a banner with its traceback; the window stays alive."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> Any:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        details = "".join(traceback.format_exception(kind, error, trace))
        session.report(error, details, "doing that")

    sys.excepthook = hook


def _report_start(start: float) -> None:
    milliseconds = 1000 * (time.perf_counter() - start)
    line = json.dumps({"window_ms": round(milliseconds, 1), "torch_loaded": "torch" in sys.modules})
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def save_screenshot(window: MainWindow, path: Path) -> None:
    """Write what the window looks like, scaled as on its screen."""
    window.grid_presenter.flush()
    window.stage_presenter.flush()
    window.grab().save(str(path), "PNG")
