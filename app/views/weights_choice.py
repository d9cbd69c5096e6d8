"""The choice among several weights of one model: by itself by the coils of the scan, or a file that the user names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QWidget

if TYPE_CHECKING:
    from collections.abc import Sequence

AUTO_TEXT = "auto"
AUTO_HINT = (
    "Those that fit the scan's coils: your own before the bundled, the latest installed first; of those for one coil "
    "and for several, the better scored"
)


class WeightsChoice(QComboBox):
    """A box whose current data is what a request names as its model: a preset, or the path of its weights."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown: tuple[Any, ...] = ()
        # Names of runs are long; the panel is not.
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)

    def set_weights(self, preset: str, weights: Sequence[Any], chosen: str) -> bool:
        """List the weights of a preset.

        Parameters
        ----------
        preset
            Name of the model.
        weights
            Its weights, the preferred ones first.
        chosen
            What the request names: the preset, or the path of one of them.

        Returns
        -------
        Whether there is anything to choose.
        """
        entries = tuple((_text(one), str(one.path)) for one in weights)
        if (preset, entries) != self._shown:
            self._shown = preset, entries
            self.clear()
            for text, data, hint in ((AUTO_TEXT, preset, AUTO_HINT), *((text, path, path) for text, path in entries)):
                self.addItem(text, data)
                self.setItemData(self.count() - 1, hint, Qt.ItemDataRole.ToolTipRole)
        self.setCurrentIndex(max(0, self.findData(chosen)))
        return len(entries) > 1


def _text(weights: Any) -> str:
    coils = f"{weights.n_coils} coil{'s' if weights.n_coils != 1 else ''}"
    return f"{weights.path.stem} · {coils} · {'bundled' if weights.is_bundled else 'yours'}"
