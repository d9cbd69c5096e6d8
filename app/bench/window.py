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
_N_PANES, _SCROLL_SECONDS = 8, 3.0
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
    program. The anchor shows the same slices in as many plain views of pyqtgraph, as float32 with its own levels.
    """
    from PySide6.QtWidgets import QApplication

    from app.views.refresh_rate import measure_refresh

    application = QApplication.instance() or QApplication(sys.argv[:1])
    seconds = _SCROLL_SECONDS / 3 if quick else _SCROLL_SECONDS
    rates: list[float] = []
    anchors: list[float] = []
    for turn in range(3):
        once = seconds if turn else 0.2  # the first builds fonts, icons and caches
        rate = float(measure_refresh(_N_PANES, seconds=once, clock=time.process_time))
        anchor = _refresh_with_pyqtgraph(once)
        if turn:
            rates.append(rate)
            anchors.append(anchor)
    application.processEvents()
    rate, anchor = statistics.median(rates), statistics.median(anchors)
    ratio = anchor / rate
    return [
        Row(f"scrolling on {_N_PANES} panes", rate, "refreshes/CPU s", goal="≥ 30", met=rate >= 30),
        Row(
            f"one refresh of {_N_PANES} panes",
            1000 / rate,
            "CPU ms",
            f"plain pyqtgraph {1000 / anchor:.1f} ms",
            ratio,
            "≤ 0.6 × anchor",
            ratio <= 0.6,
            "drawn smoothly, with captions; the anchor takes the nearest pixel",
        ),
    ]


def _refresh_with_pyqtgraph(seconds: float) -> float:
    """Return the refreshes a CPU second of pyqtgraph's own image views, of the size and slices of `measure_refresh`."""
    import numpy as np
    import pyqtgraph as pg
    from PySide6.QtWidgets import QApplication, QGridLayout, QWidget

    slices = np.random.default_rng(0).random((11, 320, 320), dtype=np.float32)
    window = QWidget()
    window.resize(1600, 900)
    layout = QGridLayout(window)
    items = []
    for number in range(_N_PANES):
        view = pg.GraphicsView()
        box = pg.ViewBox(lockAspect=True)
        view.setCentralItem(box)
        item = pg.ImageItem()
        box.addItem(item)
        layout.addWidget(view, 0, number)
        items.append(item)
    window.show()
    try:
        n_refreshes = 0
        started = time.process_time()
        while (spent := time.process_time() - started) < seconds:
            for number, item in enumerate(items):
                item.setImage(slices[(n_refreshes + number) % len(slices)])
            QApplication.processEvents()  # paints all views, once
            n_refreshes += 1
        return n_refreshes / spent
    finally:
        window.close()
        window.deleteLater()
