"""The recipe: how the scan is undersampled, which model rebuilds it where, and the button that starts it."""

from __future__ import annotations

import textwrap
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QEvent, QObject, QTimer, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.messages import sentence
from app.views.fields import FormScroll, KeepsKeys, YieldsUndo, align_labels, beside, choose, describe, form, heading
from app.views.model_choice import ModelChoice
from app.views.named import named
from app.views.parameter_form import ParameterForm
from app.views.sampling_form import SamplingForm
from app.views.section import Section
from app.views.weights_choice import WeightsChoice
from recon.request import JOIN_WEIGHT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.views.simulation_form import SimulationForm
    from recon.models.parameters import Parameter
    from recon.request import Request
    from recon.simulate import SimulationSpec

MAPS_TITLES = {"espirit": "ESPIRiT", "walsh": "Walsh"}
PRECISION_TITLES = {"auto": "auto", "fp32": "fp32", "bf16": "bf16"}
N_SUMMARY = 68


def _first_sentence(text: str) -> str:
    return text.split(". ")[0].rstrip(".") + "." if text else ""


def _shortened(text: str, n_characters: int) -> str:
    """A sentence, cut between words where it is too long."""
    return text if len(text) <= n_characters + 1 else textwrap.shorten(text, n_characters, placeholder=" …")


class RecipePanel(QWidget):
    """Form that changes the request.

    Signals
    -------
    changed
        The user changed something: fields and values for `Session.set_request`.
    refused
        The user typed something that is no value; a sentence. The text stays.
    corrected
        The same where the last value came back instead.
    reconstruct_wanted
        None for the current slice, ``"volume"`` for all.
    cancel_wanted
        The user pressed Cancel.
    simulation_wanted
        The user wants the k-space simulated anew: a `SimulationSpec`.
    """

    changed = Signal(dict)
    refused = Signal(str)
    corrected = Signal(str)
    reconstruct_wanted = Signal(object)
    cancel_wanted = Signal()
    simulation_wanted = Signal(object)

    def __init__(self, mask_preview: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("recipePanel")
        self._is_setting = False
        self._sentence = ""
        label_width = self.fontMetrics().horizontalAdvance("Acceleration") + 2
        self.sampling = SamplingForm(mask_preview, label_width)
        self.model = ModelChoice()
        self.weights = named("weightsChoice", WeightsChoice())
        self.summary = named("modelSummary", QLabel(wordWrap=True))
        self.summary.setProperty("muted", True)
        self.maps = named("mapsChoice", QComboBox())
        for key, title in MAPS_TITLES.items():
            self.maps.addItem(title, key)
        self.join = named("joinCoils", QCheckBox("Join coils"))
        self.parameters = ParameterForm()
        self.parameter_section = Section(
            "Parameters", self.parameters, "parametersButton", "Weights and iterations of the method"
        )
        # Made when the first series of images is shown; most scans have k-space of their own.
        self.simulation: SimulationForm | None = None
        self.simulation_section: Section | None = None
        self.coils = named("virtualCoils", QLineEdit(placeholderText="auto"))
        self.device = named("deviceChoice", QComboBox())
        self.precision = named("precision", QComboBox())
        for key, title in PRECISION_TITLES.items():
            self.precision.addItem(title, key)
        self.problem = named("recipeProblem", QLabel(wordWrap=True))
        theme.dress(self.problem, colour="error")
        self.note = named("recipeNote", QLabel(wordWrap=True))
        self.note.setProperty("muted", True)
        self.reconstruct_button = named("reconstructButton", QPushButton("Reconstruct slice"))
        self.reconstruct_button.setProperty("primary", True)
        self.volume_button = named("volumeButton", QPushButton("Volume"))
        self.cancel_button = named("cancelButton", QPushButton("Cancel"))
        self.progress = named("progressBar", QProgressBar(textVisible=False, minimum=0, maximum=1000))
        self.progress.setFixedHeight(6)
        self.eta = named("eta", QLabel())
        self.eta.setProperty("muted", True)
        self.waiting = named("waitingCount", QLabel())
        self._lay_out(label_width)
        self._describe()
        self._connect()
        self.set_devices(("auto", "cpu"))
        self.set_problem("", can_start=False)
        self.set_note("")
        self.set_running(False)
        self.set_waiting(())

    # ---------------------------------------------------------------- construction

    def _lay_out(self, label_width: int) -> None:
        model = form()
        model.addRow("Model", self.model)
        model.addRow(self.summary)
        model.addRow("Weights", self.weights)
        self._array = QHBoxLayout()
        self._array.setSpacing(theme.SPACE + 2)
        self._array.addWidget(self.join)
        self._array.addWidget(self.maps, 1)
        model.addRow("Maps", self._array)
        self._model_form = model
        model.addRow(beside(Coils=self.coils, Device=self.device, Precision=self.precision))
        align_labels(model, label_width)
        self.parameters.label_width = label_width

        fields = QWidget()
        inner = QVBoxLayout(fields)
        inner.setContentsMargins(theme.MARGIN, theme.SPACE, theme.MARGIN, theme.SPACE)
        inner.setSpacing(theme.SPACE + 2)
        self._inner = inner
        inner.addWidget(heading("Sampling"))
        inner.addWidget(self.sampling)
        inner.addSpacing(theme.SPACE)
        inner.addWidget(heading("Reconstruction"))
        inner.addLayout(model)
        inner.addWidget(self.parameter_section)
        inner.addStretch()
        self._scroll = scroll = FormScroll(fields)
        scroll.viewport().installEventFilter(self)

        bottom = QVBoxLayout()
        bottom.setContentsMargins(theme.MARGIN, theme.SPACE, theme.MARGIN, theme.GAP)
        bottom.setSpacing(theme.SPACE + 2)
        bottom.addWidget(self.problem)
        bottom.addWidget(self.note)
        bottom.addWidget(self.reconstruct_button)
        others = QHBoxLayout()
        others.setSpacing(theme.GAP)
        others.addWidget(self.volume_button, 1)
        others.addWidget(self.cancel_button, 1)
        bottom.addLayout(others)
        bottom.addWidget(self.progress)
        words = QHBoxLayout()
        words.setSpacing(theme.GAP)
        words.addWidget(self.eta, 1)
        words.addWidget(self.waiting)
        bottom.addLayout(words)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        outer.addWidget(scroll, 1)
        outer.addLayout(bottom)

    def _describe(self) -> None:
        describe(
            (self.model, "Model", "What rebuilds the image"),
            (self.weights, "Weights", "Which trained weights of the model; auto takes those for the scan's coils"),
            (
                self.maps,
                "Sensitivity maps",
                "How the coils' sensitivities are estimated from the centre of k-space; Walsh is quick",
            ),
            (
                self.join,
                "Join coils",
                "The network takes the coils one by one; let its data consistency use what all of them measured",
            ),
            (self.coils, "Virtual coils", "Number of coils after compression; empty lets the model choose"),
            (self.device, "Device", "Where the network runs"),
            (self.precision, "Precision", "Number format of the network; Fourier transforms stay exact"),
            (
                self.cancel_button,
                "Cancel",
                "Stop; finished slices stay (Esc). What waits goes on; Shift+Esc cancels all",
            ),
            (self.progress, "Progress", "Share of the reconstruction that is done"),
        )
        theme.set_icon(self.reconstruct_button, "play", "on_accent")

    def _connect(self) -> None:
        self.sampling.changed.connect(self.changed)
        self.sampling.refused.connect(self.refused)
        self.sampling.corrected.connect(self.corrected)
        KeepsKeys(self).watch(self.model, self.weights, self.maps, self.device, self.precision)
        YieldsUndo(self).watch(self.coils)
        self.coils.editingFinished.connect(self._read_coils)
        self.join.toggled.connect(lambda is_on: self._emit(join_coils=JOIN_WEIGHT if is_on else None))
        for combo, field in (
            (self.model, "model"), (self.weights, "model"), (self.maps, "maps"), (self.device, "device"),
            (self.precision, "precision"),
        ):  # fmt: skip
            combo.currentIndexChanged.connect(
                lambda _index, combo=combo, field=field: self._emit(**{field: combo.currentData()})
            )
        self.parameter_section.opened.connect(lambda is_open: self._reveal(self.parameter_section) if is_open else None)
        self.reconstruct_button.clicked.connect(lambda: self.reconstruct_wanted.emit(None))
        self.volume_button.clicked.connect(lambda: self.reconstruct_wanted.emit("volume"))
        self.cancel_button.clicked.connect(self.cancel_wanted)

    # ---------------------------------------------------------------- from the user

    def _emit(self, **changes: Any) -> None:
        if not self._is_setting and None not in (changes.get("model", ""), changes.get("device", "")):
            self.changed.emit(changes)

    def _read_coils(self) -> None:
        text = self.coils.text().strip()
        if text in ("", "auto"):
            self._emit(coils=None)
        elif text.isdecimal():
            self._emit(coils=int(text))
        else:
            self.refused.emit(f"Coils is {text!r}; give a whole number from 1, or nothing.")

    # ---------------------------------------------------------------- to the user

    def set_request(self, request: Request, *, keeps_text: bool = False) -> None:
        """Show a request. Fields that the user is typing in keep their text.

        Parameters
        ----------
        request
            What to show.
        keeps_text
            Leave all texts as they are: one of them was refused, and has to be seen beside the sentence that says why.
        """
        self._is_setting = True
        self.sampling.set_request(request, keeps_text=keeps_text)
        if not (keeps_text or (self.coils.hasFocus() and self.coils.isModified())):
            self.coils.setText("" if request.coils is None else str(request.coils))
        self._choose_device(request.device)
        choose(self.precision, request.precision)
        choose(self.maps, request.maps)
        self.join.setChecked(request.join_coils is not None)
        choose(self.model, request.model)
        self._is_setting = False

    def set_models(self, groups: Sequence[tuple[str, Sequence[tuple[Any, str]]]], current: str) -> None:
        """List the models; see `ModelChoice.set_groups`."""
        self._is_setting = True
        self.model.set_groups(groups, current)
        self._is_setting = False

    def set_weights(self, preset: str, weights: Sequence[Any], chosen: str) -> None:
        """List the weights of the model where there are several; see `WeightsChoice.set_weights`."""
        self._is_setting = True
        self._model_form.setRowVisible(self.weights, self.weights.set_weights(preset, weights, chosen))
        self._is_setting = False

    def set_method(self, parameters: Sequence[Parameter], request: Request) -> None:
        """Show what can be set of the chosen model.

        Parameters
        ----------
        parameters
            Its parameters; empty where there is nothing to set.
        request
            With the values that differ from the preset's.
        """
        if parameters and self.parameters.set_parameters(parameters, request.overrides):
            self._order_stops()
        self.parameter_section.setVisible(bool(parameters))

    def set_coil_by_coil(self, *, is_so: bool, needs_maps: bool) -> None:
        """Offer to join the coils where the model takes those of the scan one by one.

        Parameters
        ----------
        is_so
            Whether it does.
        needs_maps
            Whether it takes sensitivity maps anyway.
        """
        self._model_form.setRowVisible(self._array, is_so or needs_maps)
        self.join.setVisible(is_so)
        self.maps.setVisible(needs_maps)
        label = self._model_form.labelForField(self._array)
        assert isinstance(label, QLabel)
        label.setText("Maps" if needs_maps else "Array")

    def set_overrides(self, overrides: Mapping[str, Any], refused: str, problem: str) -> None:
        """Show the values of the parameters, and what was refused of them.

        Parameters
        ----------
        overrides
            Values that differ from the preset's.
        refused
            Parameter whose text was refused, or nothing.
        problem
            Why.
        """
        self.parameters.set_values(overrides, refused, problem if refused else "")
        self.parameter_section.set_summary(self.parameters.summary(overrides), is_changed=bool(overrides))
        if refused:
            self.parameter_section.set_open(True)
            self._reveal(self.parameters.problem)

    def set_simulation(self, spec: SimulationSpec | None, *, is_busy: bool) -> None:
        """Show how the k-space of the series is simulated.

        Parameters
        ----------
        spec
            None for a series whose k-space was measured or is stored.
        is_busy
            Whether it cannot be made anew just now.
        """
        if spec is not None and self.simulation is None:
            self._make_simulation()
        if self.simulation is None or self.simulation_section is None:
            return
        self.simulation_section.setVisible(spec is not None)
        if spec is not None:
            self.simulation.show_spec(spec)
            self.simulation.set_busy(is_busy)
            self.simulation_section.set_summary(self.simulation.summary())

    def _make_simulation(self) -> None:
        from app.views.simulation_form import SimulationForm

        self.simulation = SimulationForm()
        self.simulation.applied.connect(self.simulation_wanted)
        self.simulation_section = Section(
            "Simulated k-space",
            self.simulation,
            "simulationButton",
            "These images came without k-space: how it is made from them",
        )
        self._inner.insertWidget(0, self.simulation_section)
        self._order_stops()

    def _order_stops(self) -> None:
        """Let the Tab key go from top to bottom; Qt puts what is made later at the end."""
        simulation = (
            () if self.simulation is None or self.simulation_section is None
            else (self.simulation_section.button, *self.simulation.stops)
        )  # fmt: skip
        stops = (
            *simulation, *self.sampling.stops, self.model, self.weights, self.join, self.maps, self.coils,
            self.device, self.precision, self.parameter_section.button, *self.parameters.stops(),
            self.reconstruct_button, self.volume_button, self.cancel_button,
        )  # fmt: skip
        for first, second in pairwise(stops):
            QWidget.setTabOrder(first, second)

    def set_summary(self, text: str) -> None:
        """Say what the chosen model is: a sentence here, all of it where the pointer rests."""
        self._sentence = _first_sentence(text)
        self.summary.setToolTip(text)
        self.summary.setVisible(bool(text))
        self._fit_summary()

    def _fit_summary(self) -> None:
        """Cut the sentence only where the panel would have to scroll for the rest of it."""
        self.summary.setText(self._sentence)
        if self._inner.totalHeightForWidth(self._scroll.width()) > self._scroll.viewport().height():
            self.summary.setText(_shortened(self._sentence, N_SUMMARY))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Fit the text to the room that the fields have."""
        if event.type() == QEvent.Type.Resize:
            self._fit_summary()
        return super().eventFilter(watched, event)

    def set_devices(self, devices: tuple[str, ...]) -> None:
        """List the devices that this machine has."""
        self._is_setting = True
        current = self.device.currentData()
        self.device.clear()
        for name in devices:
            self.device.addItem(name, name)
        self._choose_device(current or "auto")
        self._is_setting = False

    def set_problem(self, text: str, *, can_start: bool) -> None:
        """Say in place why Reconstruct is disabled."""
        self.problem.setText(sentence(text))
        self.problem.setVisible(bool(text))
        self.reconstruct_button.setEnabled(can_start)
        self.volume_button.setEnabled(can_start)

    def set_note(self, text: str) -> None:
        """Say what is good to know before Reconstruct is pressed."""
        self.note.setText(sentence(text))
        self.note.setVisible(bool(text))

    def set_running(self, is_running: bool) -> None:
        """Show that a reconstruction runs, or that it ended."""
        start, volume, cancel = self.reconstruct_button, self.volume_button, self.cancel_button
        start.setText("Queue slice" if is_running else "Reconstruct slice")
        volume.setText("Queue volume" if is_running else "Volume")
        later = ", after what runs and waits now" if is_running else ""
        describe(
            (start, start.text(), f"Rebuild the slice that is shown{later} (F5)"),
            (volume, "Queue volume" if is_running else "Reconstruct volume", f"Rebuild all slices{later} (Shift+F5)"),
        )
        if not is_running and cancel.hasFocus():
            # A button that goes grey would pass the focus on to any other pane.
            start.setEnabled(True)
            start.setFocus()
        cancel.setEnabled(is_running)
        if not is_running:
            self.progress.setValue(0)

    def set_waiting(self, lines: Sequence[str]) -> None:
        """Say how many reconstructions wait, and where the pointer rests, which in which order."""
        self.waiting.setText(f"{len(lines)} waiting" if lines else "")
        self.waiting.setVisible(bool(lines))
        numbered = "\n".join(f"{place}. {line}" for place, line in enumerate(lines, start=1))
        self.waiting.setToolTip(numbered)
        self.waiting.setAccessibleDescription(numbered)

    def choose_model(self) -> None:
        """Open the list of models, wherever the panel is scrolled to."""
        self._scroll.ensureWidgetVisible(self.model, 0, theme.GAP)
        self.model.setFocus()
        self.model.showPopup()

    def set_progress(self, share: float, text: str) -> None:
        """Show how far the reconstruction is."""
        self.progress.setValue(round(share * self.progress.maximum()))
        self.eta.setText(text)

    def _reveal(self, section: QWidget) -> None:
        """Scroll to what was opened, once it has its place."""
        QTimer.singleShot(0, self, lambda: self._scroll.ensureWidgetVisible(section, 0, theme.GAP))

    def _choose_device(self, name: str) -> None:
        if self.device.findData(name) < 0:
            self.device.addItem(name, name)
        choose(self.device, name)
