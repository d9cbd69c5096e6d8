"""Remembers in the settings which training was left running, so that the next start of the window finds it again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject

from app.training.process import Identity
from app.training.recipe import compose, list_recipes, new_run_folder

if TYPE_CHECKING:
    from app.session import Session


class TrainingMemory(QObject):
    """Keeps the settings and the run of a session in step, and tells the user what the run reports."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        run = session.training
        run.state_changed.connect(self._remember)
        run.failed.connect(lambda text, details: session.say("error", text, details, "show-training"))
        run.succeeded.connect(lambda text: session.say("success", text, action="show-training"))
        run.found.connect(lambda text: session.say("info", text, action="show-training"))
        run.published.connect(self._welcome_weights)

    def recall(self) -> None:
        """Show the run that was shown last; one that was left training is recognised, or its end reported."""
        settings = self._session.settings
        if settings.training_folder and self._session.training.folder is None:
            identity = Identity(settings.training_pid, settings.training_started) if settings.training_pid else None
            self._session.training.adopt(Path(settings.training_folder), identity, is_found=identity is not None)

    def start(self, config: Path | str | dict[str, Any] | None = None, output: Path | str | None = None) -> bool:
        """Start a training in a process of its own, which outlives the window.

        Parameters
        ----------
        config
            A TOML file, or the values of one; None takes the training settings.
        output
            Run folder; None makes one in the output folder of the settings.

        Returns
        -------
        started
            False when something stands in the way; a message says what.
        """
        session = self._session
        settings = session.settings
        if not output and not settings.training_output:
            session.say("warning", "Choose an output folder for the training first.")
            return False
        try:
            config = compose(settings, list_recipes()) if config is None else config
        except ValueError as error:
            session.say("warning", str(error))
            return False
        model = str(config.get("model", "run")) if isinstance(config, dict) else Path(config).stem
        folder = Path(output) if output else new_run_folder(Path(settings.training_output).expanduser(), model)
        return session.training.start(config, folder.expanduser().absolute(), settings.training_device)

    def _remember(self) -> None:
        run, settings = self._session.training, self._session.settings
        if run.folder is None or run.is_publishing or run.state == "idle":
            return
        identity = run.identity if run.is_running else None
        values = {
            "training_folder": str(run.folder) if run.state != "gone" else "",
            "training_pid": 0 if identity is None else identity.pid,
            "training_started": "" if identity is None else identity.started,
        }
        if any(getattr(settings, name) != value for name, value in values.items()):
            self._session.change_settings(**values)

    def _welcome_weights(self, file: str, warning: str) -> None:
        session = self._session
        session.list_models()
        known = f" On their own validation slices they are {warning}." if warning else ""
        text = f"The weights are in the list of models: {Path(file).name}.{known} Research use only."
        session.say("warning" if warning else "success", text)
