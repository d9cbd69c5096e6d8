"""Turns a training run into curves, numbers and offers, and what the user wants of it into commands."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject
from PySide6.QtGui import QImage

from app.job import Worker
from app.training.comparison import TrainingComparison
from app.training.watch import ENDING, WORDS, remaining, resolve_image, siblings
from app.views.training_plots import RunCurves

if TYPE_CHECKING:
    from app.session import Session
    from app.training.events import Preview, Record
    from app.views.training_monitor import TrainingMonitor


log = logging.getLogger(__name__)
_N_NAMED = 10
"""Files that a hint names."""


def numbers(record: Record) -> dict[str, str]:
    """Return what the monitor shows of a record, by the names of `app.views.training_monitor.NUMBERS`."""
    latest = record.latest
    found: dict[str, str] = {}
    for name, key, words in (
        ("step", "step", "{:.0f}"),
        ("loss", "loss", "{:.4g}"),
        ("PSNR", "psnr", "{:.2f} dB"),
        ("SSIM", "ssim", "{:.4f}"),
        ("speed", "samples_per_second", "{:.3g} slices/s"),
        ("memory", "memory_gb", "{:.1f} GB"),
        ("rate", "learning_rate", "{:.2g}"),
    ):
        if key in latest:
            found[name] = words.format(latest[key])
    if "psnr" in latest and "zero_filled_psnr" in latest:
        found["PSNR"] += f" ({latest['psnr'] - latest['zero_filled_psnr']:+z.1f})"
    eta = record.eta_s()
    if eta is not None:
        found["left"] = remaining(eta)
    return found


def progress_text(record: Record, *, is_running: bool) -> str:
    """Say how far a run is."""
    if record.share is None:
        return ""
    eta = record.eta_s() if is_running else None
    left = "" if eta is None else f" · {remaining(eta)} left"
    return f"{record.share:.0%}{left}"


def skipped_text(record: Record) -> str:
    """Say how many files of the data are left out; empty where none is."""
    n_files = len(record.skipped)
    if not n_files:
        return ""
    files = "1 file of the data is" if n_files == 1 else f"{n_files} files of the data are"
    return f"{files} left out (see log)."


def skipped_list(record: Record) -> str:
    """Name the files that are left out and say why, one a line; most are in the log alone."""
    lines = [f"{Path(path).name}: {reason}" for path, reason in record.skipped.items()]
    more = [f"and {len(lines) - _N_NAMED} more"] if len(lines) > _N_NAMED else []
    return "\n".join(lines[:_N_NAMED] + more)


class TrainingPresenter(QObject):
    """Connects the session's training with its monitor."""

    def __init__(self, session: Session, monitor: TrainingMonitor, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._run = run = session.training
        self._monitor = monitor
        self._worker = Worker(self)
        self.comparison = TrainingComparison(self)
        run.state_changed.connect(self._show_state)
        run.updated.connect(self._show_record)
        run.output.connect(lambda text: session.say("info", text))
        monitor.pause_wanted.connect(run.pause)
        monitor.stop_wanted.connect(run.stop)
        monitor.resume_wanted.connect(lambda: run.resume(session.settings.training_device))
        monitor.offer_accepted.connect(lambda: run.resume(session.settings.training_device, run.offer))
        monitor.publish_wanted.connect(run.publish)
        monitor.compare_menu_opened.connect(self._offer_comparisons)
        monitor.compare_wanted.connect(self.compare)
        monitor.axis_chosen.connect(self._choose_axis)
        monitor.set_axis(session.settings.training_axis)
        monitor.preview.wanted.connect(self._want_preview)
        self.comparison.changed.connect(self._show_curves)
        self.comparison.missed.connect(lambda text: session.say("warning", text))
        self._folder: Path | None = None
        self._told: dict[Path, set[str]] = {}
        compared = [Path(text) for text in session.settings.training_compared]
        if any(map(Path.is_dir, compared)):
            self.comparison.add(filter(Path.is_dir, compared))
        self._show_state()

    def compare(self, folder: Path, is_on: bool = True) -> None:
        """Draw the curves of another run, or no longer."""
        if is_on:
            self.comparison.add([folder])
        else:
            self.comparison.remove(folder)
        self._session.change_settings(training_compared=tuple(map(str, self.comparison.records)))

    def close(self) -> None:
        """End the threads."""
        self.comparison.close()
        self._worker.stop()

    # ---------------------------------------------------------------- the run

    def _show_state(self) -> None:
        run = self._run
        name = "" if run.folder is None else run.folder.name
        if run.folder != self._folder:
            self._folder = run.folder
            self._monitor.preview.set_count(0)
        self._show_sentence(name)
        self._show_record()

    def _show_sentence(self, name: str) -> None:
        run = self._run
        sentence = " ".join(filter(None, (run.sentence, skipped_text(run.record))))
        self._monitor.set_run(name, str(run.folder or ""), WORDS[run.state], sentence, skipped_list(run.record))

    def _log_skipped(self, folder: Path) -> None:
        """Tell the log of each file that is left out, once."""
        known = self._told.setdefault(folder, set())
        for path, reason in self._run.record.skipped.items():
            if path not in known:
                log.warning("%s leaves out %s: %s", folder.name, path, reason)
        known.update(self._run.record.skipped)

    def _show_offers(self) -> None:
        run = self._run
        self._monitor.set_offers(
            is_running=run.is_running,
            is_ending=run.state in ENDING,
            can_resume=run.can_resume,
            can_publish=run.can_publish,
            is_publishing=run.is_publishing,
            offer=", ".join(f"{key} = {value}" for key, value in run.offer.items()),
        )

    def _show_record(self) -> None:
        run = self._run
        if run.record.skipped and run.folder is not None:
            self._show_sentence(run.folder.name)
            self._log_skipped(run.folder)
        shown = numbers(run.record)
        if not run.is_running:
            shown.pop("left", None)
        self._monitor.set_numbers(shown)
        self._monitor.set_progress(run.record.share, progress_text(run.record, is_running=run.is_running))
        self._monitor.preview.set_count(len(run.record.previews))
        self._show_offers()
        self._show_curves()

    def _show_curves(self) -> None:
        run = self._run
        runs = [] if run.folder is None else [_curves(run.folder, run.record, is_main=True)]
        runs += [
            _curves(folder, record, is_main=False)
            for folder, record in self.comparison.records.items()
            if folder != run.folder
        ]
        self._monitor.set_runs(runs)

    def _choose_axis(self, axis: str) -> None:
        self._monitor.set_axis(axis)
        self._session.change_settings(training_axis=axis)

    # ---------------------------------------------------------------- previews, comparison

    def _want_preview(self, place: int) -> None:
        folder, previews = self._run.folder, self._run.record.previews
        if folder is None or not 0 <= place < len(previews):
            return
        preview = previews[place]
        self._worker.submit(
            "preview",
            partial(_load, folder, preview),
            partial(self._take_preview, preview),
            lambda _error, _details: None,
        )

    def _take_preview(self, preview: Preview, image: QImage) -> None:
        if preview in self._run.record.previews:
            scores = dict(zip(*self._run.record.curves["psnr"], strict=True))
            score = f", {scores[preview.step]:.1f} dB on average" if preview.step in scores else ""
            moment = f"step {preview.step}{score}" + (" cannot be read" if image.isNull() else "")
            self._monitor.preview.set_image(image, preview.title, moment)

    def _offer_comparisons(self) -> None:
        run = self._run
        chosen = [folder for folder in self.comparison.records if folder != run.folder]
        found = siblings(run.folder) if run.folder is not None else []
        self._monitor.set_comparisons([*chosen, *(one for one in found if one not in chosen)], chosen)


def _curves(folder: Path, record: Record, *, is_main: bool) -> RunCurves:
    return RunCurves(folder.name, record.curves, is_main, record.epoch_steps)


def _load(folder: Path, preview: Preview) -> QImage:
    path = resolve_image(folder, preview.image)
    return QImage() if path is None else QImage(str(path))
