"""A training run as the window has it: starts it, follows it, asks it to end, resumes it, publishes its weights.

A run is a process of its own, detached: neither the end of the window nor a crash of the training takes the other
along. What is known of it comes from its folder, so a run that was started elsewhere can be followed too.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QProcess, QTimer, Signal

from app.job import Worker
from app.training import process as training_process
from app.training.events import EVENTS, Record, Tail
from app.training.launch import launch_apart, module_process
from app.training.recipe import to_toml
from app.training.watch import CHECKPOINT, ENDING, ENDING_BY, LOG, MARK, RUNNING, look, note_wish, outcome
from recon.errors import ExportError
from recon.export.atomic import atomic_file, describe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.training.process import Identity
    from app.training.watch import Look

RECIPE = "recipe.toml"
WATCH_MS = 700
_HALTED = ("paused", "stopped", "failed", "killed")
_SEARCH_EVERY = 8
"""Looks between two searches for a process that somebody else may have started."""


class TrainingRun(QObject):
    """The run that the window shows, and its process if it has one.

    Signals
    -------
    state_changed
        Another run, or another `state`.
    updated
        `record` has grown.
    output
        A line for the log.
    failed
        Something went wrong: a sentence, and details to copy.
    succeeded
        The run reached its end: a sentence.
    found
        A run that was left training lives, or ended in the meantime: a sentence.
    published
        The weights are in the list of models: the installed file, and a warning where they are worse than none.
    """

    state_changed = Signal()
    updated = Signal()
    output = Signal(str)
    failed = Signal(str, str)
    succeeded = Signal(str)
    found = Signal(str)
    published = Signal(str, str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.folder: Path | None = None
        self.state = "idle"
        self.sentence = ""
        self.record = Record()
        self.identity: Identity | None = None
        self.has_checkpoint = False
        self.is_publishing = False
        self._tail = Tail(Path())
        self._wanted = ""
        self._is_found = False
        self._n_looks = 0
        self._n_launches = 0
        self._worker = Worker(self)
        self._process: QProcess | None = None
        self._timer = QTimer(self, interval=WATCH_MS)
        self._timer.timeout.connect(self.look)

    # ---------------------------------------------------------------- what can be done

    @property
    def is_running(self) -> bool:
        """True while the process lives."""
        return self.state in RUNNING

    @property
    def can_resume(self) -> bool:
        """True when a checkpoint waits to go on."""
        return self.has_checkpoint and self.state in _HALTED and not self.is_publishing

    @property
    def can_publish(self) -> bool:
        """True when there is something to publish and nobody writes it."""
        is_over = self.state in ("finished", *_HALTED)
        return self.has_checkpoint and is_over and not self.is_publishing

    @property
    def offer(self) -> dict[str, Any]:
        """Values of the recipe that would fit, after the memory ran out; else empty."""
        return self.record.offer if self.state == "failed" and not self.is_publishing else {}

    # ---------------------------------------------------------------- start, resume

    def start(self, config: Path | str | dict[str, Any], folder: Path, devices: str = "auto") -> bool:
        """Start a training; False when it cannot, and `failed` says why.

        Parameters
        ----------
        config
            Recipe file, or the values of one.
        folder
            Run folder.
        devices
            ``auto``, ``cpu`` or a number of GPUs.
        """
        if not self._is_free():
            return False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if (folder / CHECKPOINT).exists():
                self.failed.emit(f"{folder} holds a run already; resume it, or choose another folder.", "")
                return False
            if isinstance(config, dict):
                file = folder / RECIPE
                with atomic_file(file) as part:
                    part.write_text(to_toml(config), encoding="utf-8")
            else:
                file = Path(config)
        except (OSError, ExportError) as error:
            self.failed.emit(str(error if isinstance(error, ExportError) else describe(folder, error)), "")
            return False
        self._show(folder)
        return self._launch([str(file), "--devices", devices])

    def resume(self, devices: str = "auto", changes: Mapping[str, Any] | None = None) -> bool:
        """Go on from the last checkpoint of the run that is shown; False when it cannot, and `failed` says why.

        Parameters
        ----------
        devices
            As in `start`.
        changes
            Values of the recipe to go on with, such as `offer`; where there is no checkpoint yet, the run begins anew.
        """
        if self.folder is None or not self._is_free():
            return False
        other = training_process.find(self.folder)
        if other is not None:
            self.adopt(self.folder, other)
            self.failed.emit(f"{self.folder.name} trains already, as process {other.pid}.", "")
            return False
        recipe = self.folder / RECIPE
        words = [str(recipe)] if recipe.is_file() else []
        if self.has_checkpoint or not words:
            words += ["--resume", *(["--force"] if changes else [])]
        for key, value in (changes or {}).items():
            words += ["--set", f"{key}={json.dumps(value)}"]
        self.record.forget_pace()
        return self._launch([*words, "--devices", devices])

    @property
    def hindrance(self) -> str:
        """Why no training can start now; empty when one can."""
        if self.is_running:
            return "A training is running already; stop it first."
        return "The weights are being published; wait for the end of it." if self.is_publishing else ""

    def _is_free(self) -> bool:
        if self.hindrance:
            self.failed.emit(self.hindrance, "")
        return not self.hindrance

    def _launch(self, words: Sequence[str]) -> bool:
        assert self.folder is not None
        log = self.folder / LOG
        try:
            with log.open("a", encoding="utf-8") as file:
                file.write(f"{MARK} {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
        except OSError as error:
            self.failed.emit(str(describe(log, error)), "")
            return False
        command = [sys.executable, "-P", "-m", "app.cli", "train", *words, "--out", str(self.folder), "--json"]
        self._n_launches += 1
        self._wanted, self._is_found = "", False
        try:
            pid = launch_apart(command, log)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            self._set_state("failed", f"The training could not be started: this machine refuses it ({error}).")
            self.failed.emit(self.sentence, "")
            return False
        self.identity = training_process.identify(pid, self.folder)
        self._set_state("starting", "")
        self._timer.start()
        self.look()
        return True

    # ---------------------------------------------------------------- follow

    def adopt(self, folder: Path, identity: Identity | None = None, *, is_found: bool = False) -> None:
        """Show a run that exists, such as one that was left training.

        Parameters
        ----------
        folder
            Its folder.
        identity
            The process that trained when it was seen last; it is recognised anew.
        is_found
            Say by `found` what became of it.
        """
        self._show(folder)
        self.identity, self._is_found = identity, is_found
        self._timer.start()
        self.look()

    def _show(self, folder: Path) -> None:
        self.folder = folder
        self.record, self._tail = Record(), Tail(folder / EVENTS)
        self.identity, self.has_checkpoint, self._wanted, self._n_looks = None, False, "", 0
        self._set_state("idle", "")

    def look(self) -> None:
        """Look at the run, in a thread; at most one look waits."""
        if self.folder is None:
            return
        folder, tail = self.folder, self._tail
        is_search = self.state not in ("training", *ENDING) and self._n_looks % _SEARCH_EVERY == 0
        self._n_looks += 1
        self._worker.submit(
            "look",
            partial(look, folder, tail, self.identity, is_search=is_search),
            partial(self._take, tail, self._n_launches),
            lambda error, details: self.failed.emit(f"The run folder {folder} cannot be read: {error}.", details),
        )

    def _take(self, tail: Tail, n_launches: int, seen: Look) -> None:
        if tail is not self._tail or n_launches != self._n_launches:
            return  # another run is shown by now, or this one was started anew
        if seen.is_anew:
            self.record = Record()
        for event in seen.events:
            self.record.take(event)
        is_other_checkpoint, self.has_checkpoint = seen.has_checkpoint != self.has_checkpoint, seen.has_checkpoint
        if seen.events or seen.is_anew or is_other_checkpoint:
            self.updated.emit()
        if seen.has_more:
            self.look()
        else:
            self._judge(seen)

    def _judge(self, seen: Look) -> None:
        assert self.folder is not None
        before = self.state
        if seen.is_alive:
            self.identity = seen.identity
            sentence = "" if seen.has_folder else f"The folder {self.folder} is gone; stop the run, it cannot be saved."
            is_begun = not self.record.is_empty or before == "training"
            state = ENDING_BY[self._wanted] if self._wanted else "training" if is_begun else "starting"
            self._set_state(state, sentence)
            if self._is_found:
                self._is_found = False
                self.found.emit(f"The training {self.folder.name} is still running.")
            return
        self.identity = None
        if not seen.has_folder:
            self._set_state("gone", f"The run folder {self.folder} is gone.")
        elif before in RUNNING or before in ("idle", "gone"):
            state, sentence = outcome(self.record, seen.log, self.folder, self._wanted, seen.has_checkpoint)
            self._set_state(state, sentence)
            if before in RUNNING:
                self._tell_end(state, sentence, seen.log)
        if self._is_found:
            self._is_found = False
            self.found.emit(self.sentence)

    def _tell_end(self, state: str, sentence: str, log: str) -> None:
        if state == "finished":
            self.succeeded.emit(sentence)
        elif state in ("paused", "stopped") or self._wanted == "kill":
            self.output.emit(sentence)
        else:
            self.failed.emit(sentence, log)

    def _set_state(self, state: str, sentence: str) -> None:
        is_other = (state, sentence) != (self.state, self.sentence)
        self.state, self.sentence = state, sentence
        if is_other:
            self.state_changed.emit()

    # ---------------------------------------------------------------- end

    def pause(self) -> None:
        """Ask the training to write a checkpoint and end, and to be gone on with; returns at once."""
        self._end("pause")

    def stop(self) -> None:
        """Ask the training to write a checkpoint and end for good; when it was asked already, end it at once."""
        self._end("kill" if self._wanted else "stop")

    def _end(self, wanted: str) -> None:
        if self.folder is None or self.identity is None or not self.is_running:
            return
        send = training_process.kill if wanted == "kill" else training_process.ask_to_end
        if send(self.identity, self.folder):
            self._wanted = wanted
            note_wish(self.folder, wanted)
            self._set_state(ENDING_BY[wanted], "")
        self.look()

    def close(self) -> None:
        """Stop following; the training goes on."""
        self._timer.stop()
        process, self._process = self._process, None
        if process is not None:
            process.finished.disconnect()
            process.kill()
            process.waitForFinished(3000)
        self._worker.stop()

    # ---------------------------------------------------------------- publish

    def publish(self) -> bool:
        """Make weights of the last checkpoint and put them into the list of models; `published` brings the file."""
        if self.folder is None or not self.can_publish:
            self.failed.emit("There is no checkpoint to publish; wait for the first, and stop the run.", "")
            return False
        # Runs of one name in different folders keep weights of their own; publishing a run again replaces its own.
        mark = hashlib.sha256(str(self.folder.resolve()).encode(errors="surrogateescape")).hexdigest()[:6]
        file = self.folder / f"{self.folder.name}-{mark}.safetensors"
        self.is_publishing = True
        self.state_changed.emit()
        words = ["training.publish", str(self.folder), "--out", str(file)]
        self._run(words, partial(self._install, file))
        return True

    def _install(self, file: Path, _output: str) -> None:
        self._run(["app.cli", "models", "install", str(file), "--replace", "--json"], self._end_publishing)

    def _end_publishing(self, output: str) -> None:
        self.is_publishing = False
        try:
            told = json.loads(output)
            installed, warning = str(told["installed"]), str(told["warning"])
        except (ValueError, KeyError, TypeError):
            installed = warning = ""
        self.state_changed.emit()
        self.published.emit(installed, warning)

    def _run(self, words: list[str], done: Any) -> None:
        """Run a module as a process; its failure ends the publishing."""
        process = module_process(self)
        process.finished.connect(partial(self._finish, process, done))
        process.errorOccurred.connect(partial(self._refuse, process))
        self._process = process
        process.start(sys.executable, ["-P", "-m", *words])

    def _finish(self, process: QProcess, done: Any, code: int, status: QProcess.ExitStatus) -> None:
        output, errors = (
            bytes(read().data()).decode(errors="replace")
            for read in (process.readAllStandardOutput, process.readAllStandardError)
        )
        self._process = None
        process.deleteLater()
        if code == 0 and status == QProcess.ExitStatus.NormalExit:
            done(output)
            return
        lines = [line for line in errors.splitlines() if line.strip()]
        self._give_up(lines[-1].removeprefix("mri-workstation: error: ") if lines else f"exit status {code}", errors)

    def _refuse(self, process: QProcess, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart and process is self._process:
            self._process = None
            process.deleteLater()
            self._give_up(f"{sys.executable} could not be started", "")

    def _give_up(self, reason: str, details: str) -> None:
        self.is_publishing = False
        self.state_changed.emit()
        self.failed.emit(f"The weights were not published: {reason}", details)
