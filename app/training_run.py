"""A training run: ``mri-workstation train`` as a process of its own, its events as signals.

A crash or an out-of-memory kill of the training never takes the window along.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QProcess, QProcessEnvironment, Signal

ROOT = Path(__file__).resolve().parent.parent


def to_toml(values: dict[str, Any]) -> str:
    """Write a flat table of strings, numbers and booleans as TOML."""
    return "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items())


class TrainingRun(QObject):
    """Starts, watches and stops one training."""

    state_changed = Signal()
    reported = Signal(dict)
    output = Signal(str)
    failed = Signal(str, str)
    succeeded = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._process: QProcess | None = None
        self._errors: list[str] = []
        self._rest = ""
        self._is_stopping = False
        self.folder: Path | None = None

    @property
    def is_running(self) -> bool:
        """True while the process lives."""
        return self._process is not None

    def start(self, config: Path | str | dict[str, Any], folder: Path) -> bool:
        """Start the process; False when it cannot, and `failed` says why."""
        if self.is_running:
            self.failed.emit("A training is running already; stop it first.", "")
            return False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if isinstance(config, dict):
                file = folder / "config.toml"
                file.write_text(to_toml(config), encoding="utf-8")
            else:
                file = Path(config)
        except OSError as error:
            self.failed.emit(f"The run folder {folder} cannot be written: {error.strerror}.", "")
            return False
        self.folder = folder
        self._errors, self._rest, self._is_stopping = [], "", False
        process = QProcess(self)
        environment = QProcessEnvironment.systemEnvironment()
        environment.insert("PYTHONPATH", f"{ROOT}:{environment.value('PYTHONPATH')}".rstrip(":"))
        environment.insert("PYTHONUNBUFFERED", "1")
        process.setProcessEnvironment(environment)
        process.readyReadStandardOutput.connect(self._read_events)
        process.readyReadStandardError.connect(self._read_errors)
        process.finished.connect(self._finish)
        process.errorOccurred.connect(self._fail_to_start)
        self._process = process
        process.start(sys.executable, ["-m", "app.cli", "train", str(file), "--out", str(folder), "--json"])
        self.state_changed.emit()
        return True

    def cancel(self) -> None:
        """Ask the process to end; returns at once."""
        if self._process is not None:
            self._is_stopping = True
            self._process.terminate()
            self.output.emit("Stopping …")

    def stop(self) -> None:
        """Ask the process to end, and kill it after five seconds."""
        if self._process is not None:
            self._is_stopping = True
            self._process.terminate()
            if not self._process.waitForFinished(5000):
                self._process.kill()
                self._process.waitForFinished(5000)

    def _read_events(self) -> None:
        assert self._process is not None
        text = self._rest + bytes(self._process.readAllStandardOutput().data()).decode(errors="replace")
        *lines, self._rest = text.split("\n")
        for line in filter(None, map(str.strip, lines)):
            try:
                event = json.loads(line)
            except ValueError:
                event = None
            if isinstance(event, dict):
                self.reported.emit(event)
            else:
                self.output.emit(line)

    def _read_errors(self) -> None:
        assert self._process is not None
        text = bytes(self._process.readAllStandardError().data()).decode(errors="replace")
        self._errors.append(text)
        for line in filter(None, map(str.strip, text.splitlines())):
            self.output.emit(line)

    def _fail_to_start(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:
            self._process = None
            self.failed.emit(f"The training could not be started with {sys.executable}.", "")
            self.state_changed.emit()

    def _finish(self, code: int, status: QProcess.ExitStatus) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.deleteLater()
        if code == 0 and status == QProcess.ExitStatus.NormalExit:
            how = "stopped early" if self._is_stopping else "finished"
            self.succeeded.emit(f"Training {how}; its weights are in {self.folder}.")
        elif self._is_stopping:
            self.output.emit(f"Stopped; what there is lies in {self.folder}.")
        else:
            text = "".join(self._errors).strip()
            last = text.splitlines()[-1] if text else f"exit status {code}"
            self.failed.emit(f"Training stopped: {last}", text)
        self.state_changed.emit()
