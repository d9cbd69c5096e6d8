"""What each coil sees of the slice: all coil images, or sensitivity maps, side by side in one window."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from PySide6.QtCore import QSize, Signal
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QVBoxLayout, QWidget

from app import theme
from app.views import levels
from app.views.caption import Caption
from app.views.coil_montage import CoilMontage, Spot, percent
from app.views.component import Component
from app.views.named import named
from app.views.segmented import Segmented

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from recon.coil_preview import CoilPreview

Kind = Literal["images", "maps"]
_KINDS: tuple[tuple[Kind, str, str], ...] = (
    ("images", "Images", "Images of the coils, one by one"),
    ("maps", "Maps", "Sensitivities of the coils, estimated by ESPIRiT as a reconstruction with this recipe would"),
)
_PHASE_HINT = (
    "Phases in radians, whose colours go around, since π and −π are the same angle; else magnitudes, "
    "black to white the same for all coils"
)
# The first of the 256 colours is for what has no phase, and lies below −π.
_PHASE_LIMITS = (-math.pi - 2 * math.pi / 254, math.pi)
_BEFORE_WORDS = 10
"""How much sooner the words give way than the choices, where there is little room."""


class CoilsView(QWidget):
    """Montage of the coils with the choice of what is shown (object name ``coilsView``).

    Setters: ``set_preview(preview, about, hint)``, ``set_message(text)``, ``set_coil(index)``, ``set_geometry(…)``.
    """

    coilChosen = Signal(int)
    """Coil that the user chose, counted from 0."""
    coilStep = Signal(int)
    """Alt and wheel over the tiles."""
    sliceStep = Signal(int)
    """Wheel over the tiles."""
    kindChosen = Signal()
    """Images or maps were chosen; see `kind`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("coilsView")
        self.setAccessibleName("Coils")
        self._preview: CoilPreview | None = None
        self._limits: dict[Kind, levels.Limits] = {}
        grey = levels.packed(levels.gray_table())
        cyclic = levels.packed(Component.PHASE.colours())
        cyclic[0] = grey[0]
        self._tables = {Component.MAGNITUDE: grey, Component.PHASE: cyclic}
        self.well = named("coilMontage", CoilMontage(self))
        self.well.setAccessibleName("Coils of the slice")
        self.kind_choice = named("coilKind", Segmented([title for _, title, _ in _KINDS], "Coils"))
        self.phase = named("coilPhase", QCheckBox("Phase"))
        self.phase.setToolTip(_PHASE_HINT)
        self.phase.setAccessibleName("Phases of the coils")
        # In one row where there is room, else one above the other.
        width = self.kind_choice.one_row_width()
        self.kind_choice.setMinimumWidth(width // 2)
        self.kind_choice.setMaximumWidth(width)
        for index, (_, _, hint) in enumerate(_KINDS):
            self.kind_choice.button(index).setToolTip(hint)
        self.about = Caption()
        bar = QHBoxLayout()
        bar.setSpacing(theme.SPACE)
        bar.addWidget(self.kind_choice, _BEFORE_WORDS * width)
        bar.addWidget(self.phase)
        bar.addWidget(self.about, 100)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE)
        layout.addWidget(self.well, 1)
        layout.addLayout(bar)
        self.kind_choice.chosen.connect(lambda _: self.kindChosen.emit())
        self.phase.toggled.connect(lambda _: self._show())
        self.well.coilChosen.connect(self.coilChosen)
        self.well.coilStep.connect(self.coilStep)
        self.well.sliceStep.connect(self.sliceStep)
        self.well.pointed.connect(self._tell)
        self.well.levelsDragged.connect(self._set_levels)
        self.well.levelsReset.connect(self._reset_levels)

    @property
    def kind(self) -> Kind:
        """What is to be shown."""
        return _KINDS[self.kind_choice.index()][0]

    @property
    def part(self) -> Component:
        """Magnitude or phase."""
        return Component.PHASE if self.phase.isChecked() else Component.MAGNITUDE

    def set_preview(self, preview: CoilPreview, about: str, hint: str = "") -> None:
        """Show the coils of a slice.

        Parameters
        ----------
        preview
            Of what `kind` says.
        about
            What it is made of, in few words.
        hint
            The same in sentences.
        """
        self._preview = preview
        self.about.set_texts(about)
        self.about.set_hint(hint)
        self._show()

    def set_message(self, text: str) -> None:
        """Show no coils, and say why."""
        self._preview = None
        self.well.set_message(text)
        self.well.setAccessibleDescription(text)
        self.about.set_texts("")
        self.about.set_hint("")
        self._show()

    def set_coil(self, index: int) -> None:
        """Frame a coil, counted from 0, without telling anybody."""
        self.well.set_coil(index)
        self._describe()

    def set_geometry(self, *, is_upside_down: bool, pixel_aspect: float) -> None:
        """Prepare for the images of another scan: how they are shown in the grid, and in a window of their own."""
        self.well.set_upside_down(is_upside_down)
        self.well.set_pixel_aspect(pixel_aspect)
        self._limits = {}

    def sizeHint(self) -> QSize:
        """Size in a dock."""
        return QSize(320, 240)

    def tiles(self) -> NDArray[np.float32] | None:
        """What is shown, ``(coil, y, x)``."""
        if self._preview is None:
            return None
        return self._preview.magnitude if self.part is Component.MAGNITUDE else self._preview.phase

    def _show(self) -> None:
        preview, tiles = self._preview, self.tiles()
        self.well.set_note("")
        if preview is None or tiles is None:
            self.well.set_tiles(None)
            return
        of_magnitude = self._limits.get(self.kind, levels.ordered(0.0, preview.white))
        self.well.set_table(self._tables[self.part])
        self.well.set_levels(*(of_magnitude if self.part is Component.MAGNITUDE else _PHASE_LIMITS))
        self.well.set_tiles(tiles, preview.shares, preview.states)
        self._describe()

    def _set_levels(self, low: float, high: float) -> None:
        # The colours of a phase stand for angles, and a window would make others of them.
        if self.part is Component.MAGNITUDE:
            self._limits[self.kind] = low, high
            self.well.set_levels(low, high)

    def _reset_levels(self) -> None:
        self._limits.pop(self.kind, None)
        self._show()

    def _tell(self, spot: Spot | None) -> None:
        tiles = self.tiles()
        if spot is None or tiles is None or self._preview is None:
            self.well.set_note("")
            return
        step, value = self._preview.step, float(tiles[spot.coil, spot.y, spot.x])
        unit = " rad" if self.part is Component.PHASE and math.isfinite(value) else ""
        self.well.set_note(
            f"coil {spot.coil + 1}, {percent(self._preview.shares[spot.coil])} of the energy  "
            f"({spot.x * step}, {spot.y * step})  {levels.format_value(value)}{unit}"
        )

    def _describe(self) -> None:
        preview, coil = self._preview, self.well.coil
        if preview is not None and coil < len(preview.shares):
            state = f", {preview.states[coil]}" if preview.states[coil] else ""
            self.well.setAccessibleDescription(
                f"coil {coil + 1} of {len(preview.shares)}, {percent(preview.shares[coil])} of the energy{state}"
            )
