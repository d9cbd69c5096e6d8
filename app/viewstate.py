"""How the images are looked at: window and level, crosshair, error gain, layout. Shared by every pane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from PySide6.QtCore import QObject, Signal

from app.views import levels
from app.views.component import Component
from app.views.error_key import GAINS
from app.views.stage_scrubber import DEFAULT_RATE, FRAMES_PER_SECOND

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from app.views.levels import Limits, Policy, Preset
    from app.views.region import Region

Layout = Literal["stages", "result", "comparison"]
SWITCHES = ("has_crosshair", "has_wipe", "is_inverted", "shows_errors", "has_signed_errors", "has_annotations")
"""Options of a `ViewState` that are on or off."""


class ViewState(QObject):
    """What all panes share. Setters change it, signals tell."""

    levels_changed = Signal()
    crosshair_changed = Signal()
    region_changed = Signal()
    coil_changed = Signal()
    wipe_changed = Signal()
    presets_changed = Signal()
    error_gain_changed = Signal(float)
    rate_changed = Signal(int)
    options_changed = Signal()

    def __init__(self, error_gain: float = 5, parent: QObject | None = None) -> None:
        super().__init__(parent)
        # Of what is shown; those of magnitudes stand for all that were not set by hand.
        self._levels: dict[Component, levels.Limits] = {}
        self.component = Component.MAGNITUDE
        self.preset: str | None = None
        self._has_reference = True
        self._policies: dict[str, Policy] = {}
        self.error_gain = error_gain
        self.rate = DEFAULT_RATE
        """Frames per second, of stages and of slices."""
        self.crosshair: tuple[int, int] | None = None
        self.region: Region | None = None
        self.coil = 0
        """The coil whose data are looked at, counted from 0."""
        self.has_crosshair = True
        self.has_wipe = False
        self.wipe = 0.5
        """Where the left part of the images ends, as a share of their width."""
        self.is_inverted = False
        self.colours = "grey"
        """Those of magnitudes, a name of `app.views.levels.COLOUR_MAPS`."""
        self.shows_errors = True
        self.has_signed_errors = False
        self.has_annotations = True
        self.layout: Layout = "stages"

    @property
    def levels(self) -> levels.Limits | None:
        """Display limits of what is shown; None before there is an image."""
        magnitude = self._levels.get(Component.MAGNITUDE)
        return None if magnitude is None else self._levels.get(self.component, self.component.limits(magnitude))

    def set_levels(self, low: float, high: float) -> None:
        """Set the display limits by hand; an empty window is widened."""
        if self.component is Component.MAGNITUDE:
            self.preset = None
        self._levels[self.component] = levels.ordered(float(low), float(high))
        self.levels_changed.emit()

    def apply_preset(self, name: str, image: NDArray[Any], reference: NDArray[Any] | None) -> None:
        """Take the limits from the data.

        Parameters
        ----------
        name
            Key of one of `presets`.
        image
            Image that the window is derived from where there is no reference.
        reference
            The fully sampled image, or None.
        """
        policy = levels.preset(name).policy or self._policies[name]
        self.preset = name
        # One window for all panes: hiding a bias behind a window of its own per pane is the classic mistake.
        self._levels = {Component.MAGNITUDE: policy.limits(image if reference is None else reference, reference)}
        self.levels_changed.emit()

    @property
    def presets(self) -> tuple[Preset, ...]:
        """Windows that can be taken now: of the reference only where there is one, and so of `levels.OWN_PRESETS`."""
        usual = (preset for preset in levels.PRESETS if self._has_reference or preset.key != "matched")
        return (*usual, *(preset for preset in levels.OWN_PRESETS if preset.key in self._policies))

    @property
    def usual_preset(self) -> str:
        """Key of the window that a scan begins with."""
        return "matched" if self._has_reference else "auto"

    def policy(self, name: str | None) -> Policy | None:
        """Return what a preset stands for now; None where it stands for nothing."""
        return None if name is None else levels.preset(name).policy or self._policies.get(name)

    def set_policy(self, name: str, policy: Policy | None) -> None:
        """Say what one of `levels.OWN_PRESETS` is now; None where there is none."""
        before, was = self.presets, self._policies.pop(name, None)
        if policy is not None:
            self._policies[name] = policy
        # Told when all is in place: who is told looks at the presets.
        if policy != was and self.preset == name:
            # The limits stay, and are no longer what the name stands for.
            self.preset = None
            self.levels_changed.emit()
        if self.presets != before:
            self.presets_changed.emit()

    def forget_levels(self, *, has_reference: bool) -> None:
        """Start afresh with the next image, of a series with a reference or without one."""
        self._levels = {}
        self.preset = None
        if has_reference != self._has_reference:
            self._has_reference = has_reference
            self.presets_changed.emit()

    @property
    def kept_levels(self) -> dict[Component, Limits]:
        """The limits of each component that has its own."""
        return dict(self._levels)

    def take_levels(self, kept: dict[Component, Limits], preset: str | None) -> None:
        """Take limits that were kept, and the name of the preset that they came from; one that is not there is none."""
        self._levels = dict(kept)
        self.preset = preset if any(item.key == preset for item in self.presets) else None
        self.levels_changed.emit()

    @property
    def preset_title(self) -> str:
        """Words for the status bar: where the window comes from."""
        title = "manual" if self.preset is None else levels.preset(self.preset).title
        return title if title.startswith("DICOM") else title.lower()

    def set_crosshair(self, x: int, y: int) -> None:
        """Put the crosshair on a pixel; a hidden one appears again."""
        self.crosshair = (x, y)
        if not self.has_crosshair:
            self.toggle("has_crosshair")
        self.crosshair_changed.emit()

    def clear_crosshair(self) -> None:
        """Take the crosshair away."""
        self.crosshair = None
        self.crosshair_changed.emit()

    def set_region(self, region: Region | None) -> None:
        """Measure some voxels of all images, or none."""
        if region != self.region:
            self.region = region
            self.region_changed.emit()

    def set_coil(self, index: int) -> None:
        """Look at the data of a coil."""
        if index != self.coil:
            self.coil = index
            self.coil_changed.emit()

    def set_wipe(self, share: float) -> None:
        """Put the end of the left part somewhere."""
        if share != self.wipe:
            self.wipe = share
            self.wipe_changed.emit()

    def clear_marks(self) -> None:
        """Take crosshair and region away."""
        self.clear_crosshair()
        self.set_region(None)

    def set_error_gain(self, gain: float) -> None:
        """Amplify error maps by one of `GAINS`."""
        if gain in GAINS and gain != self.error_gain:
            self.error_gain = gain
            self.error_gain_changed.emit(gain)

    def cycle_error_gain(self) -> None:
        """Go to the next gain, from the last back to the first."""
        position = GAINS.index(self.error_gain)
        self.set_error_gain(GAINS[(position + 1) % len(GAINS)])

    def set_rate(self, rate: int) -> None:
        """Play one of `FRAMES_PER_SECOND`."""
        if rate in FRAMES_PER_SECOND and rate != self.rate:
            self.rate = rate
            self.rate_changed.emit(rate)

    def cycle_rate(self) -> None:
        """Go to the next rate, from the last back to the first."""
        position = FRAMES_PER_SECOND.index(self.rate)
        self.set_rate(FRAMES_PER_SECOND[(position + 1) % len(FRAMES_PER_SECOND)])

    def toggle(self, option: str) -> None:
        """Switch one of `SWITCHES`."""
        setattr(self, option, not getattr(self, option))
        self.options_changed.emit()

    def take_options(self, component: Component, layout: Layout, **switches: bool) -> None:
        """Set all at once what `show_component`, `toggle_layout` and `toggle` set one by one."""
        self.component, self.layout = component, layout
        for name, is_on in switches.items():
            setattr(self, name, is_on)
        self.options_changed.emit()
        self.levels_changed.emit()

    def show_colours(self, colours: str) -> None:
        """Show magnitudes in other colours; error maps and phases keep their own."""
        if colours != self.colours:
            self.colours = colours
            self.options_changed.emit()

    def show_component(self, component: Component) -> None:
        """Show magnitude, phase, real or imaginary part in all panes."""
        if component is not self.component:
            self.component = component
            self.options_changed.emit()
            self.levels_changed.emit()

    def toggle_layout(self, layout: Layout) -> None:
        """Show ``result`` (zero-filled, final, reference) or ``comparison`` (all results), or again all stages."""
        self.layout = "stages" if self.layout == layout else layout
        self.options_changed.emit()
