"""Turns the events of a training run into curves and one line of status."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject

if TYPE_CHECKING:
    from app.training_run import TrainingRun
    from app.views.training_monitor import TrainingMonitor

_CURVES = {"loss": "loss", "psnr": "PSNR, dB", "zero_filled_psnr": "zero-filled, dB"}
# Names of the events in reading order, and how a person says them.
_WORDS = {
    "share": "{:.0%} done",
    "epoch": "epoch {}",
    "step": "step {}",
    "loss": "loss {:.4g}",
    "psnr": "PSNR {:.2f} dB",
    "zero_filled_psnr": "zero-filled {:.2f} dB",
    "ssim": "SSIM {:.4f}",
    "nmse": "NMSE {:.4f}",
    "learning_rate": "learning rate {:.2g}",
    "samples_per_second": "{:.2g} slices/s",
    "memory_gb": "{:.1f} GB",
    "seconds": "finished after {:.0f} s",
    "weights": "weights in {}",
}


def status_words(event: dict[str, Any]) -> str:
    """Say an event in one line; what is not known by name is left to the file of events."""
    return " · ".join(words.format(event[name]) for name, words in _WORDS.items() if event.get(name) is not None)


class TrainingPresenter(QObject):
    """Collects numbers by name; whatever has a step and a score becomes a point of a curve."""

    def __init__(self, run: TrainingRun, monitor: TrainingMonitor, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._run = run
        self._monitor = monitor
        self._curves: dict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
        run.reported.connect(self._take)
        run.output.connect(monitor.set_status)
        run.succeeded.connect(monitor.set_status)
        run.state_changed.connect(self._change)
        monitor.stop_wanted.connect(run.cancel)

    def _change(self) -> None:
        self._monitor.set_running(self._run.is_running)
        if self._run.is_running:
            self._curves.clear()
            self._monitor.clear()
            self._monitor.set_status("Starting …")

    def _take(self, event: dict[str, Any]) -> None:
        place = event.get("step", event.get("epoch"))
        if isinstance(place, (int, float)):
            for name, value in event.items():
                is_score = name in _CURVES
                if is_score and isinstance(value, (int, float)) and not isinstance(value, bool):
                    x, y = self._curves[_CURVES[name]]
                    x.append(float(place))
                    y.append(float(value))
            self._monitor.set_curves(dict(self._curves))
        words = status_words(event)
        if words:
            self._monitor.set_status(words)
