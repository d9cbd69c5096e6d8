"""The events of a run for TensorBoard: an optional extra, imported only when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recon.errors import needs_package

if TYPE_CHECKING:
    from pathlib import Path

_FOLDER = "tensorboard"
_IS_NO_SCORE = {"time", "step", "epoch"}


class TensorBoard:
    """Writes scalars and previews; call it with each event.

    Parameters
    ----------
    folder
        The run folder.
    purge_step
        First step that will be done again; what a run that was killed wrote of it and later steps is hidden.

    Raises
    ------
    MissingPackageError
        If TensorBoard is not installed.
    """

    def __init__(self, folder: Path, purge_step: int | None = None) -> None:
        self.folder = folder
        with needs_package("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self._writer: Any = SummaryWriter(str(folder / _FOLDER), purge_step=purge_step)

    def __call__(self, event: dict[str, Any]) -> None:
        """Take an event."""
        kind, step = event["event"], event.get("step")
        if kind == "preview":
            self._add_preview(event)
        if kind not in ("step", "validation"):
            return
        prefix = "training" if kind == "step" else "validation"
        for name, value in event.items():
            if name not in _IS_NO_SCORE and isinstance(value, (int, float)):
                self._writer.add_scalar(f"{prefix}/{name}", value, step)
        self._writer.flush()

    def _add_preview(self, event: dict[str, Any]) -> None:
        from PIL import Image

        with Image.open(self.folder / event["image"]) as picture:
            panels = np.asarray(picture)
        self._writer.add_image(event["title"], panels, event["step"], dataformats="HW")

    def close(self) -> None:
        """Close the files."""
        self._writer.close()
