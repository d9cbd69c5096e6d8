"""Turns the events of a training run into curves and one line of status."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject

if TYPE_CHECKING:
    from app.training_run import TrainingRun
    from app.views.training_monitor import TrainingMonitor

_SCALES = ("loss", "psnr", "ssim", "nmse")


class TrainingPresenter(QObject):
    """Collects numbers by name; whatever has a step and a score becomes a point of a curve."""

    def __init__(self, run: TrainingRun, monitor: TrainingMonitor, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._run = run
        self._monitor = monitor
        self._curves: dict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
        run.reported.connect(self._take)
        run.output.connect(monitor.set_status)
        run.state_changed.connect(self._change)

    def _change(self) -> None:
        if self._run.is_running:
            self._curves.clear()
            self._monitor.clear()
            self._monitor.set_status("Starting …")

    def _take(self, event: dict[str, Any]) -> None:
        place = event.get("step", event.get("epoch"))
        if isinstance(place, (int, float)):
            for name, value in event.items():
                is_score = any(word in name for word in _SCALES)
                if is_score and isinstance(value, (int, float)) and not isinstance(value, bool):
                    x, y = self._curves[name]
                    x.append(float(place))
                    y.append(float(value))
            self._monitor.set_curves(dict(self._curves))
        words = [
            f"{name} {value:.5g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in event.items()
            if isinstance(value, (int, float, str)) and name not in ("time", "event")
        ]
        self._monitor.set_status(" · ".join(words))
