"""The strip above the grid: slice, window and level in numbers, how they were chosen, and the zoom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QSizePolicy, QSlider, QToolButton, QWidget

from app import theme
from app.views import levels
from app.views.caption import Caption
from app.views.colour_key import ColourKey
from app.views.component import Component

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QResizeEvent

MANUAL = "manual"
_MATCH_TEXTS = {
    True: ("matched", "All panels show the window of the reference: a bias stays visible"),
    False: ("independent", "The window was not taken from the reference: a bias may be hidden"),
    None: ("", ""),
}


class LevelBar(QWidget):
    """Slice slider, window presets and numbers (object name ``levelBar``).

    Setters, which never emit: ``set_slice(index, n)``, ``set_levels(low, high)``, ``clear_levels()``,
    ``set_component(component)``, ``set_preset(key | None)``, ``set_matched(True | False | None)``,
    ``set_presets(presets)``, ``set_zoom(zoom)``, ``set_probe(text)``.
    """

    sliceRequested = Signal(int)
    """Slice that the user went to, counted from 0."""
    presetChosen = Signal(str)
    """Key of a preset."""
    componentChosen = Signal(object)
    """`Component` that is to be shown."""
    zoomToFitRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("levelBar")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.slice_label = QLabel("Slice", self)
        self.slice_slider = QSlider(Qt.Orientation.Horizontal, self)
        self.slice_slider.setObjectName("sliceSlider")
        self.slice_slider.setAccessibleName("Slice")
        self.slice_slider.setToolTip("Slice of the series; the wheel over an image goes through them too")
        self.slice_slider.setMinimumWidth(56)
        self.slice_slider.setMaximumWidth(180)
        self.slice_number = QLabel("–", self)
        self.component = QComboBox(self)
        self.component.setObjectName("componentChoice")
        self.component.setAccessibleName("Part of the complex images")
        self.component.setToolTip("What is shown of the images, which are complex")
        for component in Component:
            self.component.addItem(component.title.removesuffix(" part"), component)
            hint = f"{component.title}   [{component.key}]"
            self.component.setItemData(self.component.count() - 1, hint, Qt.ItemDataRole.ToolTipRole)
        self.preset = QComboBox(self)
        self.preset.setObjectName("levelPreset")
        self.preset.setAccessibleName("Window preset")
        self.preset.setToolTip("Where the window takes its limits from")
        self.preset.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.values = QLabel(self)
        self.values.setObjectName("levelValues")
        self.values.setAccessibleName("Window and level")
        self.values.setToolTip(
            "W: width of the window, L: its centre. Drag an image with the right button to change them."
        )
        self.key = ColourKey(self)
        self._colours, self._key = (Component.MAGNITUDE, "grey"), ((0.0, 1.0), False)
        self.matched = QLabel(self)
        self.matched.setObjectName("levelMatch")
        self.probe = Caption(parent=self)
        self.fit = QToolButton(self)
        self.fit.setAccessibleName("Fit the images")
        self.fit.setToolTip("Zoom; press to fit the images")
        self.fit.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        theme.set_icon(self.fit, "fit-to-page-outline")
        for label in (self.slice_number, self.values):
            label.setFont(theme.number_font(self.font()))
        for label in (self.slice_label, self.matched):
            label.setProperty("muted", True)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(theme.GAP, theme.SPACE, theme.GAP, theme.SPACE)
        layout.setSpacing(theme.GAP)
        layout.addWidget(self.slice_label)
        layout.addWidget(self.slice_slider, 1)
        layout.addWidget(self.slice_number)
        layout.addSpacing(theme.GAP)
        layout.addWidget(self.component)
        layout.addWidget(self.preset)
        layout.addWidget(self.key)
        layout.addWidget(self.values)
        layout.addWidget(self.matched)
        layout.addWidget(self.probe, 2)
        layout.addWidget(self.fit)
        # Left out from the last to the first where there is no room for them.
        self._spare: tuple[QWidget, ...] = (self.matched, self.slice_label)
        self.key.hide()
        self.set_presets(levels.PRESETS)
        self.set_slice(0, 0)
        self.set_levels(0.0, 1.0)
        self.set_matched(None)
        self.set_zoom(1.0)
        self.slice_slider.valueChanged.connect(self._slice_moved)
        self.preset.activated.connect(self._preset_chosen)
        self.component.activated.connect(lambda index: self.componentChosen.emit(self.component.itemData(index)))
        self.fit.clicked.connect(self.zoomToFitRequested)

    def set_slice(self, index: int, n_slices: int) -> None:
        """Show the slice, counted from 0, of so many."""
        self.slice_slider.blockSignals(True)
        self.slice_slider.setRange(0, max(0, n_slices - 1))
        self.slice_slider.setValue(index)
        self.slice_slider.blockSignals(False)
        self.slice_slider.setEnabled(n_slices > 1)
        self.slice_number.setText(f"{index + 1} / {n_slices}" if n_slices else "–")
        self.slice_number.setMinimumWidth(self.fontMetrics().horizontalAdvance(f"{n_slices} / {n_slices}"))

    def set_levels(self, low: float, high: float, *, is_inverted: bool = False) -> None:
        """Show width and centre of the window; of colours its ends."""
        self._key = (low, high), is_inverted
        self._show_key()
        width, centre = levels.format_value(high - low, 3), levels.format_value(0.5 * (low + high), 3)
        self.values.setText(f"W {width}  L {centre}")
        self._fit()

    def clear_levels(self) -> None:
        """Show no window: there is no image that it would be of."""
        self.values.clear()
        self.set_matched(None)

    def set_presets(self, presets: Sequence[levels.Preset]) -> None:
        """Set the choices of the menu; one for levels set by hand is added."""
        self.preset.clear()
        for number, preset in enumerate(presets):
            self.preset.addItem(preset.title, preset.key)
            self.preset.setItemData(number, f"{preset.hint}   [{preset.digit}]", Qt.ItemDataRole.ToolTipRole)
        self.preset.addItem("Manual", MANUAL)
        self.preset.setItemData(
            self.preset.count() - 1, "Set by dragging with the right button", Qt.ItemDataRole.ToolTipRole
        )

    def set_component(self, component: Component, colours: str = "grey") -> None:
        """Show which part of the images is shown, and in which of `levels.COLOUR_MAPS` magnitudes are."""
        self.component.setCurrentIndex(list(Component).index(component))
        has_colours = component is Component.PHASE or (component is Component.MAGNITUDE and colours != "grey")
        self._colours = component, colours
        self._show_key()
        self.key.setVisible(has_colours)
        self.values.setVisible(not has_colours)
        self._fit()

    def set_preset(self, key: str | None) -> None:
        """Show which preset is in use; None or ``manual`` after a drag."""
        found = self.preset.findData(MANUAL if key is None else key)
        self.preset.setCurrentIndex(found if found >= 0 else self.preset.findData(MANUAL))
        self.preset.setToolTip(str(self.preset.currentData(Qt.ItemDataRole.ToolTipRole)))

    def set_matched(self, is_matched: bool | None) -> None:
        """Say whether all panels share the window of the reference, or None without a reference."""
        text, hint = _MATCH_TEXTS[is_matched]
        self.matched.setText(text)
        self.matched.setToolTip(hint)
        self._fit()

    def set_zoom(self, zoom: float) -> None:
        """Show the zoom; 1 fits the image."""
        self.fit.setText("Fit" if abs(zoom - 1) < 5e-3 else f"{zoom:.0%}")

    def set_probe(self, text: str) -> None:
        """Show where the crosshair is."""
        self.probe.set_texts(right=text)

    def sizeHint(self) -> QSize:
        """Width of the grid."""
        return QSize(720, super().sizeHint().height())

    def minimumSizeHint(self) -> QSize:
        """Width without the words that can be done without."""
        hint = super().minimumSizeHint()
        shown = sum(label.sizeHint().width() + theme.GAP for label in self._spare if not label.isHidden())
        return QSize(hint.width() - shown, hint.height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave out words where they would push the rest together."""
        super().resizeEvent(event)
        self._fit()

    def _show_key(self) -> None:
        limits, is_inverted = self._key
        self.key.set_key(*self._colours, limits, is_inverted=is_inverted)

    def _fit(self) -> None:
        room = self.width() - self.minimumSizeHint().width()
        for label in self._spare:
            room -= label.sizeHint().width() + theme.GAP
            label.setVisible(room >= 0)

    def _slice_moved(self, index: int) -> None:
        self.slice_number.setText(f"{index + 1} / {self.slice_slider.maximum() + 1}")
        self.sliceRequested.emit(index)

    def _preset_chosen(self, index: int) -> None:
        key = self.preset.itemData(index)
        if key == MANUAL:
            return
        self.set_preset(key)
        self.presetChosen.emit(key)
