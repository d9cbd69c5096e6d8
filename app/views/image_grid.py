"""The linked image grid: a column per image, its error map below, one zoom, one window, one crosshair for all."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, QRect, QSize, Signal
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.views.error_key import ErrorKey
from app.views.grid_cells import GAP, MARGIN, best_cells
from app.views.image_canvas import FIT, View
from app.views.image_panel import ImagePanel, PanelSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from PySide6.QtGui import QResizeEvent

    from app.views.annotation import Annotation
    from app.views.layer import Wipe
    from app.views.levels import Limits
    from app.views.region import Region

__all__ = ["ImageGrid", "PanelSpec"]

_KEY_WIDTH = 132


class ImageGrid(QWidget):
    """Up to eight linked columns (object name ``imageGrid``).

    Setters never emit. What the user changes in the grid itself (view, levels, crosshair, gain) is shown at once and
    then emitted.

    Setters
    -------
    ``set_panels(specs)``, ``set_title(key, title, place)``, ``set_image(key, image, caption)``,
    ``set_error(key, error, caption)``, ``set_message(key, text)``, ``set_levels(low, high)``, ``set_error_gain(gain)``,
    ``set_error_kind(title, hint, is_signed=…)``, ``set_data_range(maximum)``, ``set_error_row(True | False | None)``,
    ``set_slice(index, n)``, ``set_flip(bool)``, ``set_annotation(Annotation | None)``,
    ``set_pixel_aspect(height_per_width)``, ``set_active(key | None)``, ``set_probe(x, y)``, ``clear_probe()``,
    ``set_region(Region | None)``, ``set_wipe(Wipe | None)``, ``set_view(View)``, ``zoom_by(factor)``,
    ``zoom_to_fit()``, ``zoom_to_content()``, ``maximise(key | None)``, ``clear()``.
    """

    sliceStep = Signal(int)
    """Wheel or Page keys: number of slices to go, up is positive."""
    iterationStep = Signal(int)
    """Shift+wheel: number of iterations to go."""
    coilStep = Signal(int)
    """Alt+wheel: number of coils to go."""
    levelsChanged = Signal(float, float)
    """The user dragged the window: values shown as black and as white."""
    levelsReset = Signal()
    """Double right click: the preset of the session should be taken again."""
    errorGainChanged = Signal(float)
    probeMoved = Signal(int, int)
    """Array element (x, y) under the crosshair."""
    probeLeft = Signal()
    """The user clicked beside the image: no crosshair."""
    regionDrawn = Signal(object)
    """The user drew a region: `Region`, or None when it was taken away."""
    wipeMoved = Signal(float)
    """The user dragged the line of the wipe: share of the width of the images."""
    viewChanged = Signal(float)
    """The user zoomed or panned: zoom, 1 fits the image."""
    panelMaximised = Signal(str)
    """Key of the panel that fills the grid now, empty when all are shown again."""
    contextMenuRequested = Signal(str, QPoint)
    """Key of the panel and position on the screen."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("imageGrid")
        self.setAccessibleName("Linked images")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(320, 208)
        self._images: dict[str, ImagePanel] = {}
        self._errors: dict[str, ImagePanel] = {}
        self._view = FIT
        self._levels: Limits = (0.0, 1.0)
        self._probe: tuple[int, int] | None = None
        self._region: Region | None = None
        self._wipe: Wipe | None = None
        self._maximised: str | None = None
        self._error_row: bool | None = None
        self._is_flipped = False
        self._pixel_aspect = 1.0
        self._slice_note = ""
        self._annotation: Annotation | None = None
        self.key = ErrorKey(self)
        self.key.hide()
        self.key.gainChanged.connect(self._gain_chosen)

    # -- what is shown ----------------------------------------------------------------------------------------------

    def set_panels(self, specs: Sequence[PanelSpec]) -> None:
        """Set the columns from left to right; columns whose key stays keep their images.

        Raises
        ------
        ValueError
            If two columns share a key.
        """
        keys = [spec.key for spec in specs]
        if len(set(keys)) != len(keys):
            raise ValueError(f"columns of the grid need different keys, found {keys}")
        if [panel.spec for panel in self._images.values()] == list(specs):
            return
        old_images, old_errors = self._images, self._errors
        self._images, self._errors = {}, {}
        for spec in specs:
            kept = old_images.get(spec.key)
            if kept is not None and kept.spec.is_reference == spec.is_reference:
                # Made anew, it would lose the keyboard's focus to a neighbour and a drag to nobody.
                self._images[spec.key] = old_images.pop(spec.key)
                if spec.key in old_errors:
                    self._errors[spec.key] = old_errors.pop(spec.key)
                    self._errors[spec.key].set_spec(spec)
                kept.set_spec(spec)
                continue
            self._images[spec.key] = self._make_panel(spec, is_error=False)
            if not spec.is_reference:
                self._errors[spec.key] = self._make_panel(spec, is_error=True)
        for panel in (*old_images.values(), *old_errors.values()):
            panel.hide()
            panel.deleteLater()
        if self._maximised not in self._images:
            self._maximised = None
        self._set_tab_order()
        self._show_slice_note()
        self._apply_error_levels()
        self._arrange()

    def set_title(self, key: str, title: str, place: str = "") -> None:
        """Rename a column, and say which of its images is shown: ``4x`` and ``3`` for its third iteration."""
        end = f" · {place}" if place else ""
        title += end
        self._images[key].set_title(title, end)
        if key in self._errors:
            self._errors[key].set_title(title)
        self._restack()

    def set_image(self, key: str, image: NDArray[np.floating] | None, caption: str = "") -> None:
        """Show an image ``(y, x)`` with its scores, or nothing; zoom and levels stay as they are."""
        panel = self._images[key]
        has_new_shape = image is not None and (panel.well.image is None or panel.well.image.shape != image.shape)
        has_new_caption = caption != panel.caption()
        panel.set_image(image, caption)
        if has_new_shape:
            self._arrange()
        elif has_new_caption:
            self._restack()

    def set_error(self, key: str, error: NDArray[np.floating] | None, caption: str = "") -> None:
        """Show an error map, as `set_error_kind` said, in the unit of the data, or nothing."""
        if key not in self._errors:
            return
        had_row, has_new_caption = self.has_error_row(), caption != self._errors[key].caption()
        self._errors[key].set_image(error, caption)
        if had_row != self.has_error_row():
            self._arrange()
        elif has_new_caption:
            self._restack()

    def set_message(self, key: str, text: str) -> None:
        """Say in a column why it has no image: ``waiting``, ``no reference``."""
        self._images[key].set_message(text)

    def set_levels(self, low: float, high: float) -> None:
        """Set the values shown as black and as white in every image."""
        self._levels = (low, high)
        for panel in self._images.values():
            panel.well.set_levels(low, high)

    def set_error_kind(self, title: str, hint: str, *, is_signed: bool) -> None:
        """Say what the error maps show, in a few words and in a sentence, and whether it has a sign."""
        self.key.set_error(title, hint, is_signed=is_signed)
        for panel in self._errors.values():
            panel.well.set_table(self.key.table())
        self._apply_error_levels()

    def set_error_gain(self, gain: float) -> None:
        """Set how far the error maps are turned up."""
        self.key.set_gain(gain)
        self._apply_error_levels()

    def set_data_range(self, maximum: float) -> None:
        """Set the maximum of the reference: at a gain of 1 the brightest error."""
        self.key.set_data_range(maximum)
        self._apply_error_levels()

    def set_error_row(self, is_shown: bool | None) -> None:
        """Show or hide the row of error maps; None shows it as soon as there is one."""
        self._error_row = is_shown
        self._arrange()

    def set_slice(self, index: int, n_slices: int) -> None:
        """Write the slice, counted from 1 for the reader, into the corner of the first column."""
        self._slice_note = f"{index + 1} / {n_slices}" if n_slices > 1 else ""
        self._show_slice_note()

    def set_flip(self, is_flipped: bool) -> None:
        """Show all images upside down; coordinates stay those of the arrays."""
        self._is_flipped = is_flipped
        for panel in self._all_panels():
            panel.well.set_flip(is_flipped)
        self._show_slice_note()

    def set_pixel_aspect(self, height_per_width: float) -> None:
        """Set the height of a voxel divided by its width."""
        self._pixel_aspect = height_per_width
        for panel in self._all_panels():
            panel.well.set_pixel_aspect(height_per_width)

    def set_annotation(self, annotation: Annotation | None) -> None:
        """Write sides and scale onto all images, or nothing."""
        self._annotation = annotation
        for panel in self._images.values():
            panel.well.set_annotation(annotation)

    def set_active(self, key: str | None) -> None:
        """Mark the column in which the reconstruction is just now."""
        for name, panel in self._images.items():
            panel.header.set_marked(name == key)

    def set_probe(self, x: int, y: int) -> None:
        """Put the crosshair of all columns on the array element (x, y)."""
        self._probe = (x, y)
        for panel in self._all_panels():
            panel.set_crosshair(self._probe)

    def clear_probe(self) -> None:
        """Remove the crosshair."""
        self._probe = None
        for panel in self._all_panels():
            panel.set_crosshair(None)

    def set_region(self, region: Region | None) -> None:
        """Frame the same voxels in all columns, or none."""
        self._region = region
        for panel in self._all_panels():
            panel.well.set_region(region)

    def set_wipe(self, wipe: Wipe | None) -> None:
        """Lay one image over the left part of all others, or none."""
        self._wipe = wipe
        for panel in self._images.values():
            panel.well.set_wipe(wipe)

    def set_view(self, view: View) -> None:
        """Look at the same part of all images."""
        self._view = view
        for panel in self._all_panels():
            panel.well.set_view(view)

    def zoom_by(self, factor: float) -> None:
        """Magnify around the centre, or around the crosshair if there is one."""
        self.set_view(self._view.zoomed(factor, self._view.x, self._view.y))

    def zoom_to_fit(self) -> None:
        """Show whole images again."""
        self.set_view(FIT)

    def zoom_to_content(self) -> None:
        """Fill the wells with what is not air: small panels then show a head as large as they can."""
        for panel in self._images.values():
            box = panel.well.content_box()
            if box is not None:
                self.set_view(panel.well.view_of(box))
                return

    def maximise(self, key: str | None) -> None:
        """Let one column fill the grid, or show all again."""
        self._maximised = key if key in self._images else None
        self._arrange()

    def clear(self) -> None:
        """Remove all images, error maps and captions; the columns stay."""
        for panel in self._all_panels():
            panel.set_image(None)
        self.clear_probe()
        self._arrange()

    # -- what a caller may ask ---------------------------------------------------------------------------------------

    def panel(self, key: str) -> ImagePanel:
        """Image panel of a column."""
        return self._images[key]

    def error_panel(self, key: str) -> ImagePanel | None:
        """Error panel of a column, None for the reference."""
        return self._errors.get(key)

    def keys(self) -> list[str]:
        """Columns from left to right."""
        return list(self._images)

    def __iter__(self) -> Iterator[str]:
        """Keys of the columns from left to right."""
        return iter(self._images)

    def levels(self) -> Limits:
        """Values shown as black and as white."""
        return self._levels

    def error_gain(self) -> float:
        """Gain of the error maps."""
        return self.key.gain()

    def view(self) -> View:
        """Part of the images that is seen."""
        return self._view

    def probe(self) -> tuple[int, int] | None:
        """Array element (x, y) under the crosshair."""
        return self._probe

    def probe_values(self) -> dict[str, float]:
        """Values of all columns under the crosshair."""
        if self._probe is None:
            return {}
        values = {key: panel.well.value_at(*self._probe) for key, panel in self._images.items()}
        return {key: value for key, value in values.items() if value is not None}

    def maximised(self) -> str | None:
        """Column that fills the grid."""
        return self._maximised

    def has_error_row(self) -> bool:
        """Whether the row of error maps is shown."""
        if self._error_row is not None:
            return self._error_row
        return any(panel.well.image is not None for panel in self._errors.values())

    def sizeHint(self) -> QSize:
        """Size for six columns at 1280 × 800."""
        return QSize(770, 480)

    def minimumSizeHint(self) -> QSize:
        """Smallest size that still shows images."""
        return QSize(320, 208)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Place the panels."""
        super().resizeEvent(event)
        self._arrange()

    # -- making and linking ------------------------------------------------------------------------------------------

    def _make_panel(self, spec: PanelSpec, is_error: bool) -> ImagePanel:
        panel = ImagePanel(spec, is_error, self)
        well = panel.well
        well.set_view(self._view)
        well.set_flip(self._is_flipped)
        well.set_pixel_aspect(self._pixel_aspect)
        well.set_crosshair(self._probe)
        well.set_region(self._region)
        well.viewChanged.connect(self._view_dragged)
        well.probed.connect(self._probe_moved)
        well.probeLeft.connect(self._probe_left)
        well.regionDrawn.connect(self._region_drawn)
        well.sliceStep.connect(self.sliceStep)
        well.iterationStep.connect(self.iterationStep)
        well.coilStep.connect(self.coilStep)
        well.levelsReset.connect(self.levelsReset)
        well.activated.connect(lambda: self._toggle_maximised(spec.key))
        well.menuRequested.connect(lambda position: self.contextMenuRequested.emit(spec.key, position))
        if is_error:
            well.set_table(self.key.table())
        else:
            well.set_annotation(self._annotation)
            well.set_levels(*self._levels)
            well.set_wipe(self._wipe)
            well.wipeMoved.connect(self._wipe_dragged)
            well.levelsDragged.connect(self._levels_dragged)
        return panel

    def _all_panels(self) -> list[ImagePanel]:
        return [*self._images.values(), *self._errors.values()]

    def _view_dragged(self, view: View) -> None:
        self.set_view(view)
        self.viewChanged.emit(view.zoom)

    def _levels_dragged(self, low: float, high: float) -> None:
        self.set_levels(low, high)
        self.levelsChanged.emit(low, high)

    def _probe_moved(self, x: int, y: int) -> None:
        self.set_probe(x, y)
        self.probeMoved.emit(x, y)

    def _probe_left(self) -> None:
        if self._probe is not None:
            self.clear_probe()
            self.probeLeft.emit()

    def _region_drawn(self, region: Region | None) -> None:
        if region != self._region:
            self.set_region(region)
            self.regionDrawn.emit(region)

    def _wipe_dragged(self, share: float) -> None:
        if self._wipe is not None:
            self.set_wipe(replace(self._wipe, share=share))
            self.wipeMoved.emit(share)

    def _gain_chosen(self, gain: float) -> None:
        self._apply_error_levels()
        self.errorGainChanged.emit(gain)

    def _toggle_maximised(self, key: str) -> None:
        self.maximise(None if self._maximised == key else key)
        self.panelMaximised.emit(self._maximised or "")

    def _apply_error_levels(self) -> None:
        for panel in self._errors.values():
            panel.well.set_levels(*self.key.limits())

    def _show_slice_note(self) -> None:
        note = " · ".join(filter(None, (self._slice_note, "flipped ↕" if self._is_flipped else "")))
        for number, panel in enumerate(self._images.values()):
            panel.well.set_note(note if number == 0 else "")

    def _set_tab_order(self) -> None:
        for first, second in pairwise(self._all_panels()):
            QWidget.setTabOrder(first.well, second.well)

    # -- places ------------------------------------------------------------------------------------------------------

    def _restack(self) -> None:
        """Use two lines everywhere as soon as one panel needs them, so that the wells line up."""
        if self._maximised is None and self._images:
            panels = self._all_panels()
            if any(panel.needs_stacking(panel.width()) for panel in panels) != panels[0].is_stacked():
                self._arrange()

    def _arrange(self) -> None:
        """Give every column the same whole number of pixels; what is left over goes to the outer margins."""
        if not self._images:
            self.key.hide()
            return
        if self._maximised is not None:
            self._arrange_maximised(self._maximised)
            return
        has_errors = self.has_error_row()
        has_reference = any(panel.spec.is_reference for panel in self._images.values())
        key_width = _KEY_WIDTH + 2 * GAP if has_errors and not has_reference else 0
        panels = self._all_panels()
        cells = best_cells(panels, len(self._images), self.size(), key_width, has_errors=has_errors)
        for panel in panels:
            panel.set_stacked(cells.is_stacked)
        header, footer = panels[0].header_height(), panels[0].footer_height()
        error_footer = panels[-1].footer_height() if has_errors else 0
        key_left, key_top = self.width() - MARGIN - _KEY_WIDTH, MARGIN + header
        for number, (key, panel) in enumerate(self._images.items()):
            left = cells.left + number % cells.n_columns * (cells.width + GAP)
            top = MARGIN + number // cells.n_columns * cells.band_height
            error_top = top + header + cells.well_height + footer + GAP
            panel.setGeometry(left, top, cells.width, header + cells.well_height + footer)
            panel.show()
            error = self._errors.get(key)
            if error is not None:
                error.setGeometry(left, error_top, cells.width, cells.well_height + error_footer)
                error.setVisible(has_errors)
            elif panel.spec.is_reference:
                key_left, key_top = left, error_top
        # It has no scores below it, so their line is its own too.
        key_size = QSize(cells.width if has_reference else _KEY_WIDTH, cells.well_height + error_footer)
        self.key.setGeometry(QRect(QPoint(key_left, key_top), key_size))
        self.key.setVisible(has_errors)

    def _arrange_maximised(self, key: str) -> None:
        error = self._errors.get(key)
        has_error = error is not None and self.has_error_row()
        for name, panel in self._images.items():
            panel.setVisible(name == key)
        for name, panel in self._errors.items():
            panel.setVisible(name == key and has_error)
        image = self._images[key]
        self.key.setVisible(has_error)
        if not has_error or error is None:
            image.set_stacked(image.needs_stacking(self.width()))
            image.setGeometry(MARGIN, MARGIN, self.width() - 2 * MARGIN, self.height() - 2 * MARGIN)
            return
        width = (self.width() - 2 * MARGIN - 2 * GAP - GAP - _KEY_WIDTH) // 2
        height = self.height() - 2 * MARGIN
        is_stacked = image.needs_stacking(width) or error.needs_stacking(width)
        image.set_stacked(is_stacked)
        error.set_stacked(is_stacked)
        header = image.header_height()
        taller = error.footer_height() - image.footer_height()
        image.setGeometry(MARGIN, MARGIN, width, height - taller)
        error.setGeometry(MARGIN + width + GAP, MARGIN + header, width, height - header)
        self.key.setGeometry(self.width() - MARGIN - _KEY_WIDTH, MARGIN + header, _KEY_WIDTH, height - header)
