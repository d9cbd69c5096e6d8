"""The parameters of a method as a form, made from the fields of its dataclass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QCheckBox, QComboBox, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from app import theme
from app.messages import sentence
from app.views.fields import KeepsKeys, YieldsUndo, form, muted
from app.views.named import named

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recon.models.parameters import Parameter

N_SUMMARY = 3


class ParameterForm(QWidget):
    """One field for each parameter; what was refused stays in its field, with the sentence that says why below.

    Signals
    -------
    changed
        Name of a parameter and the text that the user gave it.
    reset_wanted
        The user wants the preset's values back.
    """

    changed = Signal(str, str)
    reset_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("parameterForm")
        self.label_width = 0
        """So that the fields stand below those of the form around this one."""
        self._keeper, self._yielder = KeepsKeys(self), YieldsUndo(self)
        self._parameters: dict[str, Parameter] = {}
        self._fields: dict[str, QWidget] = {}
        self._is_setting = False
        self._refused = ""
        self.problem = named("parameterProblem", QLabel(wordWrap=True))
        theme.dress(self.problem, colour="error")
        self.reset = named("resetParameters", QPushButton("Reset"))
        self.reset.setAccessibleName("Reset parameters")
        self.reset.setToolTip("Take the values of the preset again")
        self.reset.clicked.connect(self.reset_wanted)
        self._form = QWidget()
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(theme.SPACE + 2)
        self._layout.addWidget(self._form)
        self._layout.addWidget(self.problem)
        self._layout.addWidget(self.reset, 0, Qt.AlignmentFlag.AlignLeft)
        self.problem.hide()

    def set_parameters(self, parameters: Sequence[Parameter], overrides: Mapping[str, Any]) -> bool:
        """Make the fields of a method and fill them.

        Parameters
        ----------
        parameters
            What can be set.
        overrides
            Values that differ from the preset's.

        Returns
        -------
        is_new
            Whether other fields were made.
        """
        is_new = tuple(self._parameters.values()) != tuple(parameters)
        if is_new:
            self._make(parameters)
        self.set_values(overrides)
        return is_new

    def set_values(self, overrides: Mapping[str, Any], refused: str = "", problem: str = "") -> None:
        """Fill the fields.

        Parameters
        ----------
        overrides
            Values that differ from the preset's.
        refused
            Parameter whose text was refused; it stays as it was typed.
        problem
            Why.
        """
        self._is_setting = True
        self._refused = refused
        for name, parameter in self._parameters.items():
            field = self._fields[name]
            value = overrides.get(name, parameter.value)
            if name != refused:
                self._fill(field, parameter, value)
            self._mark(field, is_changed=name in overrides, is_refused=name == refused)
        self._is_setting = False
        self.problem.setText(sentence(problem))
        self.problem.setVisible(bool(problem))
        self.reset.setEnabled(bool(overrides) or bool(refused))

    def summary(self, overrides: Mapping[str, Any]) -> str:
        """Return in few words what is set: the values that differ, or the first ones of the preset."""
        shown = [(item, overrides[name]) for name, item in self._parameters.items() if name in overrides]
        shown = shown or [(item, item.value) for item in self._parameters.values()]
        words = [f"{item.title} {item.show(value) or 'auto'}" for item, value in shown[:N_SUMMARY]]
        return " · ".join(words)

    def stops(self) -> tuple[QWidget, ...]:
        """Return where the Tab key stops, in order."""
        return (*self._fields.values(), self.reset)

    def field(self, name: str) -> QWidget:
        """Return the field of a parameter."""
        return self._fields[name]

    # ---------------------------------------------------------------- fields

    def _make(self, parameters: Sequence[Parameter]) -> None:
        old, self._form = self._form, QWidget()
        self._layout.replaceWidget(old, self._form)
        old.setParent(None)
        old.deleteLater()
        layout = form(self._form)
        self._parameters = {parameter.name: parameter for parameter in parameters}
        self._fields = {}
        for name, parameter in self._parameters.items():
            field = self._field(parameter)
            field.setObjectName(f"parameter-{name}")
            field.setAccessibleName(parameter.title)
            field.setAccessibleDescription(parameter.help)
            usual = parameter.show(parameter.value) or "nothing"
            field.setToolTip(f"{parameter.help}\n{name}, preset: {usual}".strip())
            self._fields[name] = field
            if isinstance(field, QCheckBox):
                layout.addRow(field)
            else:
                label = muted(parameter.title, field)
                label.setToolTip(field.toolTip())
                label.setMinimumWidth(self.label_width)
                layout.addRow(label, field)

    def _field(self, parameter: Parameter) -> QWidget:
        name = parameter.name
        if parameter.kind == "switch":
            box = QCheckBox(parameter.title)
            box.toggled.connect(lambda is_on: self._emit(name, "true" if is_on else "false"))
            return box
        if parameter.kind == "choice":
            combo = QComboBox()
            for choice in ("", *parameter.choices) if parameter.is_optional else parameter.choices:
                combo.addItem(choice or "auto", choice)
            combo.currentIndexChanged.connect(lambda _index: self._emit(name, combo.currentData()))
            self._keeper.watch(combo)
            return combo
        edit = QLineEdit(placeholderText="auto" if parameter.is_optional else "")
        edit.editingFinished.connect(lambda: self._emit(name, edit.text()))
        self._yielder.watch(edit)
        return edit

    def _fill(self, field: QWidget, parameter: Parameter, value: Any) -> None:
        if isinstance(field, QCheckBox):
            field.setChecked(bool(value))
        elif isinstance(field, QComboBox):
            field.setCurrentIndex(field.findData(value or ""))
        elif isinstance(field, QLineEdit):
            text = parameter.show(value)
            if field.text() != text:
                field.setText(text)

    def _mark(self, field: QWidget, *, is_changed: bool, is_refused: bool) -> None:
        theme.dress(field, state="refused" if is_refused else "changed" if is_changed else "")

    def _emit(self, name: str, text: str) -> None:
        if self._is_setting:
            return
        field, parameter = self._fields[name], self._parameters[name]
        # Leaving a field is no change; one that was refused is tried again, because others may have changed.
        if isinstance(field, QLineEdit) and name != self._refused and not field.isModified():
            return
        if isinstance(field, QLineEdit):
            field.setModified(False)
        self.changed.emit(parameter.name, text)
