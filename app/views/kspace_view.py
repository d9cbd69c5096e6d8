"""The measured data themselves: logarithm of the magnitude, one coil at a time, with the mask on top."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QSlider, QVBoxLayout, QWidget

from app import theme
from app.views import levels
from app.views.image_canvas import FIT, View
from app.views.image_well import ImageWell

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DECADES = 4.0
"""Range shown below the maximum."""
DIMS = "Dim what the mask leaves out"
ELSEWHERE = "The mask lies on the cropped image; choose the grid As measured (native) to see it on the measured k-space"


class KSpaceView(QWidget):
    """Viewer of k-space (object name ``kspaceView``).

    Setters: ``set_kspace(kspace)`` complex or magnitude ``(coil, y, x)`` or ``(y, x)``, ``set_mask(mask)``,
    ``set_coil(index)``, ``set_message(text)``, ``clear()``.
    """

    coilChanged = Signal(int)
    """Coil that the user chose, counted from 0."""
    sliceStep = Signal(int)
    """Wheel over the picture."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("kspaceView")
        self.setAccessibleName("k-space")
        self._kspace: NDArray | None = None
        self._mask: NDArray[np.bool_] | None = None
        self._maximum = 1.0
        self.well = ImageWell(self)
        self.well.setAccessibleName("Logarithm of the k-space magnitude")
        self.well.set_message("no k-space")
        self.coil_label = QLabel("Coil", self)
        self.coil_slider = QSlider(Qt.Orientation.Horizontal, self)
        self.coil_slider.setAccessibleName("Coil")
        self.coil_slider.setToolTip("Coil whose k-space is shown")
        self.coil_slider.setMinimumWidth(32)
        self.coil_number = QLabel("–", self)
        self.coil_number.setProperty("muted", True)
        self.overlay = QCheckBox("Mask", self)
        self.overlay.setToolTip(DIMS)
        self.overlay.setAccessibleName("Show the sampling mask on k-space")
        bar = QHBoxLayout()
        bar.setSpacing(theme.GAP)
        bar.addWidget(self.coil_label)
        bar.addWidget(self.coil_slider, 1)
        bar.addWidget(self.coil_number)
        bar.addWidget(self.overlay)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE)
        layout.addWidget(self.well, 1)
        layout.addLayout(bar)
        self.coil_slider.valueChanged.connect(self._coil_chosen)
        self.overlay.toggled.connect(self._show)
        self.well.viewChanged.connect(self.well.set_view)
        self.well.coilStep.connect(self._step_and_tell)
        self.well.sliceStep.connect(self.sliceStep)
        self.well.levelsDragged.connect(self.well.set_levels)
        self.well.levelsReset.connect(self._reset_levels)
        self.well.activated.connect(lambda: self.well.set_view(FIT))
        self.well.probed.connect(self._probe)
        self.well.probeLeft.connect(lambda: self.well.set_crosshair(None))
        self._show()

    def set_kspace(self, kspace: NDArray | None) -> None:
        """Show the data of a slice; only the coil in view is computed."""
        if kspace is not None and kspace.ndim == 2:
            kspace = kspace[None]
        if kspace is not None and kspace.ndim != 3:
            raise ValueError(f"k-space has the axes (coil, y, x), this array has the shape {kspace.shape}")
        old_shape = None if self._kspace is None else self._kspace.shape
        self._kspace = kspace
        self._set_coil_range(0 if kspace is None else len(kspace))
        self._show()
        if kspace is not None and kspace.shape != old_shape:
            self._reset_levels()
            self.well.set_view(View())

    def set_mask(self, mask: NDArray[np.bool_] | None) -> None:
        """Set the mask of the overlay: ``(x,)``, ``(1, x)`` or ``(y, x)``."""
        self._mask = None if mask is None else np.atleast_2d(np.asarray(mask, dtype=bool))
        self._show()

    def set_coil(self, index: int) -> None:
        """Show a coil, counted from 0, without telling anybody."""
        self.coil_slider.blockSignals(True)
        self.coil_slider.setValue(index)
        self.coil_slider.blockSignals(False)
        self._show()

    def coil(self) -> int:
        """Coil in view, counted from 0."""
        return self.coil_slider.value()

    def set_message(self, text: str) -> None:
        """Say why there is no k-space."""
        self.well.set_message(text)

    def clear(self) -> None:
        """Show nothing."""
        self.set_kspace(None)

    def sizeHint(self) -> QSize:
        """Size in a dock."""
        return QSize(220, 240)

    def _set_coil_range(self, n_coils: int) -> None:
        self.coil_slider.blockSignals(True)
        self.coil_slider.setRange(0, max(0, n_coils - 1))
        self.coil_slider.blockSignals(False)
        self.coil_slider.setEnabled(n_coils > 1)

    def _coil_chosen(self, index: int) -> None:
        self._show()
        self.coilChanged.emit(index)

    def _step_and_tell(self, n_steps: int) -> None:
        before = self.coil()
        self.set_coil(before + n_steps)
        if self.coil() != before:
            self.coilChanged.emit(self.coil())

    def _show(self) -> None:
        is_elsewhere = self._mask is not None and self._kspace is not None and not self._fits(self._kspace[0])
        self.overlay.setEnabled(self._mask is not None and not is_elsewhere)
        self.overlay.setToolTip(ELSEWHERE if is_elsewhere else DIMS)
        if self._kspace is None:
            self.coil_number.setText("–")
            self.well.set_image(None)
            return
        self.coil_number.setText(f"{self.coil() + 1} / {len(self._kspace)}")
        magnitude = np.abs(self._kspace[self.coil()]).astype(np.float32)
        peak = float(np.max(magnitude, where=np.isfinite(magnitude), initial=0.0)) or 1.0
        # Decades below the peak: 0 at the peak, and nothing below the bottom of the scale.
        shown = np.log10(np.maximum(magnitude / peak, 10.0 ** -(_DECADES + 1))) + _DECADES
        if self.overlay.isChecked() and self._mask is not None and self._fits(shown):
            shown = np.where(self._mask, shown, 0.35 * np.maximum(shown, 0.0))
        self.well.set_image(shown)

    def _fits(self, shown: NDArray) -> bool:
        assert self._mask is not None
        return self._mask.shape[1] == shown.shape[1] and self._mask.shape[0] in (1, shown.shape[0])

    def _reset_levels(self) -> None:
        self.well.set_levels(0.0, _DECADES)

    def _probe(self, x: int, y: int) -> None:
        self.well.set_crosshair((x, y))
        if self._kspace is not None:
            value = float(np.abs(self._kspace[self.coil(), y, x]))
            self.well.set_note(f"({x}, {y})  {levels.format_value(value)}")
