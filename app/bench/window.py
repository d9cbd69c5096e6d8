"""Rows of the benchmark for the window: start-up and scrolling."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from app.bench.measuring import TIMEOUT_S, Row, child_environment, last_line
from recon.errors import MRIError

_WINDOW_SCRIPT = "import sys; from app.cli import main; sys.exit(main([]))"
_TORCH_SCRIPT = "import torch; print('{}', flush=True)"


def measure_window(*, quick: bool) -> list[Row]:
    """Time from the start of Python to the shown and painted window, against the end of ``import torch``.

    Both are counted from just before the process is launched to the line that it prints, by the clock, in turns. The
    window is opened by the command line as a user opens it, offscreen, with settings of its own.
    """
    from app.window import EXIT_AFTER_SHOW

    shown, imported, has_torch = [], [], False
    with tempfile.TemporaryDirectory(prefix="mri-workstation-bench-") as folder:
        environment = child_environment() | {EXIT_AFTER_SHOW: "1", "XDG_CONFIG_HOME": folder}
        for script in (_WINDOW_SCRIPT, _TORCH_SCRIPT):
            _seconds_to_first_line(script, environment)  # from the disk into memory, once
        for _ in range(3 if quick else 7):
            seconds, answer = _seconds_to_first_line(_WINDOW_SCRIPT, environment)
            shown.append(seconds)
            has_torch = has_torch or answer["torch_loaded"]
            imported.append(_seconds_to_first_line(_TORCH_SCRIPT, environment)[0])
    value, anchor = statistics.median(shown), statistics.median(imported)
    ratio = value / anchor
    return [
        Row("window on screen", value, "s", f"import torch {anchor:.2f} s", ratio, "≤ 0.6 × anchor", ratio <= 0.6),
        Row("torch loaded when the window shows", float(has_torch), "", goal="no (0)", met=not has_torch),
    ]


def _seconds_to_first_line(script: str, environment: dict[str, str]) -> tuple[float, dict[str, Any]]:
    """Run a script; return the seconds until it printed a line of JSON, and the JSON."""
    started = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = time.perf_counter() - started
        _, errors = process.communicate(timeout=TIMEOUT_S)
    if process.returncode or not line:
        raise MRIError(f"the process ended with status {process.returncode}: {last_line(errors)}")
    answer: dict[str, Any] = json.loads(line)
    return seconds, answer


def measure_scrolling(*, quick: bool) -> list[Row]:
    """Refreshes of eight linked panes, painted offscreen, when slices that are in memory are scrolled.

    Counted in CPU seconds of this process, which does nothing else, so that a busy machine does not count as a slow
    program; the rate by the clock is in the note.
    """
    from PySide6.QtWidgets import QApplication

    from app.views.refresh_rate import measure_refresh

    application = QApplication.instance() or QApplication(sys.argv[:1])
    measure_refresh(n_panes=8, seconds=0.2)  # builds fonts, icons and caches
    seconds = 2.0 if quick else 5.0
    started = time.process_time()
    by_clock = float(measure_refresh(n_panes=8, seconds=seconds))
    rate = by_clock * seconds / (time.process_time() - started)
    application.processEvents()
    return [
        Row(
            "scrolling on 8 panes",
            rate,
            "refreshes/CPU s",
            goal="≥ 30",
            met=rate >= 30,
            note=f"{by_clock:.0f} a second by the clock",
        )
    ]
