"""SIGINT and SIGTERM while a network learns: the step is finished and kept before the run ends."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import Callback

if TYPE_CHECKING:
    from lightning import LightningModule, Trainer

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(Exception):
    """The run was ended on request, with a checkpoint of the step that it had come to.

    Attributes
    ----------
    step
        Steps that are kept.
    """

    def __init__(self, step: int, message: str = "") -> None:
        super().__init__(message)
        self.step = step


class Interruption(Callback):
    """Remembers that the user wants the run to end. A second signal does not wait."""

    def __init__(self) -> None:
        self.is_wanted = False
        self._before: dict[signal.Signals, Any] = {}

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Listen from the first validation on."""
        self._listen()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Listen."""
        self._listen()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Give the signals back."""
        while self._before:
            signal.signal(*self._before.popitem())

    def _listen(self) -> None:
        # lightning's own handlers, which are set before this, would talk to other processes in the middle of a step.
        if threading.current_thread() is threading.main_thread() and not self._before:
            self._before = {one: signal.signal(one, self._note) for one in _SIGNALS}

    def _note(self, number: int, frame: Any) -> None:  # noqa: ARG002
        if self.is_wanted and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.is_wanted = True
