"""How the k-space of an image series is made up: coils, phase, noise, seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from app import theme
from app.messages import sentence
from app.views.fields import beside, describe
from app.views.named import named
from recon.errors import MRIError, RequestError
from recon.simulate import SimulationSpec

if TYPE_CHECKING:
    from typing import Any


class SimulationForm(QWidget):
    """Fields of a `SimulationSpec`; nothing changes until Apply.

    Signals
    -------
    applied
        The user wants the k-space made anew: a `SimulationSpec`.
    """

    applied = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("simulationForm")
        self._spec = SimulationSpec()
        self._is_busy = False
        self.coils = named("simulatedCoils", QLineEdit())
        self.has_phase = named("simulatedPhaseOn", QCheckBox("Phase of the object"))
        self.phase = named("simulatedPhase", QLineEdit())
        self.noise = named("simulatedNoise", QLineEdit())
        self.seed = named("simulatedSeed", QLineEdit())
        self.problem = named("simulationProblem", QLabel(wordWrap=True))
        theme.dress(self.problem, colour="error")
        self.problem.hide()
        self.apply_button = named("applySimulation", QPushButton("Apply"))
        self.reset_button = named("resetSimulation", QPushButton("Reset"))
        self.stops = (
            self.coils, self.has_phase, self.phase, self.noise, self.seed, self.apply_button, self.reset_button,
        )  # fmt: skip
        """Where the Tab key stops, in order."""
        describe(
            (self.coils, "Simulated coils", "Number of receive coils, 1 to 128; 1 is single-coil data"),
            (self.has_phase, "Simulate a phase", "Without it the object is real, as no scanner measures it"),
            (self.phase, "Strength of the phase", "1 is a spin echo, 3 a gradient echo near the sinuses"),
            (self.noise, "Noise", "Standard deviation in each coil image, as a share of the image maximum"),
            (self.seed, "Seed of the simulation", "Same seed, same coils, phase and noise"),
            (
                self.apply_button,
                "Apply the simulation",
                "Make the k-space of this study anew. Slice and recipe stay; results of the old k-space are closed",
            ),
            (self.reset_button, "Reset the simulation", "Show the values in use again"),
        )
        buttons = QHBoxLayout()
        buttons.setSpacing(theme.GAP)
        buttons.addWidget(self.apply_button, 1)
        buttons.addWidget(self.reset_button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, theme.SPACE)
        layout.setSpacing(theme.SPACE + 2)
        layout.addLayout(beside(Coils=self.coils, Phase=self.phase, Noise=self.noise, Seed=self.seed))
        layout.addWidget(self.has_phase)
        layout.addWidget(self.problem)
        layout.addLayout(buttons)
        for field in (self.coils, self.phase, self.noise, self.seed):
            field.textEdited.connect(self._judge)
            field.returnPressed.connect(self._apply)
        self.has_phase.toggled.connect(self._switch_phase)
        self.apply_button.clicked.connect(self._apply)
        self.reset_button.clicked.connect(lambda: self.set_spec(self._spec))
        self.set_spec(self._spec)

    def show_spec(self, spec: SimulationSpec) -> None:
        """Show the simulation in use, unless it is shown already: what is being typed stays."""
        if spec != self._spec:
            self.set_spec(spec)

    def set_spec(self, spec: SimulationSpec) -> None:
        """Show the simulation in use."""
        self._spec = spec
        self.coils.setText(str(spec.n_coils))
        self.noise.setText(f"{spec.noise:g}")
        self.seed.setText(str(spec.seed))
        blocked = self.has_phase.blockSignals(True)
        self.has_phase.setChecked(spec.phase > 0)
        self.has_phase.blockSignals(blocked)
        self.phase.setText(f"{spec.phase or 1:g}")
        self._judge()

    def summary(self) -> str:
        """Return the simulation in use in few words."""
        spec = self._spec
        phase = f"phase {spec.phase:g}" if spec.phase else "no phase"
        noise = f"noise {spec.noise:g}" if spec.noise else "no noise"
        return f"{spec.n_coils} coil{'s' if spec.n_coils > 1 else ''} · {phase} · {noise} · seed {spec.seed}"

    def set_busy(self, is_busy: bool) -> None:
        """Take away Apply while something runs that needs the k-space, or the study is being read."""
        self._is_busy = is_busy
        self._judge()

    def spec(self) -> SimulationSpec:
        """Return what the fields say.

        Raises
        ------
        MRIError
            If they say nothing that can be simulated.
        """
        values: dict[str, Any] = {"n_coils": _whole(self.coils.text(), "Coils")}
        values["seed"] = _whole(self.seed.text(), "Seed")
        values["phase"] = _number(self.phase.text(), "Phase") if self.has_phase.isChecked() else 0.0
        values["noise"] = _number(self.noise.text(), "Noise")
        return SimulationSpec(**values, origin=self._spec.origin)

    def _switch_phase(self) -> None:
        self._judge()
        if self.has_phase.isChecked() and self.has_phase.hasFocus():
            self.phase.selectAll()

    def _judge(self) -> None:
        self.phase.setEnabled(self.has_phase.isChecked())
        problem, is_other = "", False
        try:
            is_other = self.spec() != self._spec
        except MRIError as error:
            problem = str(error)
        self.problem.setText(sentence(problem))
        self.problem.setVisible(bool(problem))
        self.apply_button.setEnabled(is_other and not self._is_busy)
        self.reset_button.setEnabled(is_other or bool(problem))

    def _apply(self) -> None:
        if self.apply_button.isEnabled():
            self.applied.emit(self.spec())


def _whole(text: str, name: str) -> int:
    try:
        return int(text.strip())
    except ValueError:
        raise RequestError(f"{name} is {text.strip()!r}; give a whole number.") from None


def _number(text: str, name: str) -> float:
    try:
        return float(text.strip().replace(",", "."))
    except ValueError:
        raise RequestError(f"{name} is {text.strip()!r}; give a number.") from None
