"""Fields of forms that keep the keys they need, and say what is wrong with what was typed."""

from __future__ import annotations

from functools import partial
from typing import Any

from PySide6.QtCore import QEvent, QObject, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QKeySequence, QValidator
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QFrame,
    QGridLayout,
    QLabel,
    QLineEdit,
    QScrollArea,
    QWidget,
)

from app import theme

_OF_NUMBERS = frozenset("0123456789.+-e")
_FIELD_KEYS = (
    Qt.Key.Key_Up,
    Qt.Key.Key_Down,
    Qt.Key.Key_PageUp,
    Qt.Key.Key_PageDown,
    Qt.Key.Key_Home,
    Qt.Key.Key_End,
)


class KeepsKeys(QObject):
    """Lets a focused field keep the keys that it needs, which are shortcuts of the window everywhere else.

    A list gives them back when an entry was picked with the mouse: who has chosen a model turns slices next.
    """

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent) and event.key() in _FIELD_KEYS:
            event.accept()
            return True
        # A wheel over a field scrolls the panel; only a field that was clicked takes the wheel for itself.
        if event.type() == QEvent.Type.Wheel and isinstance(watched, QWidget) and not watched.hasFocus():
            event.ignore()
            return True
        return super().eventFilter(watched, event)

    def watch(self, *fields: QWidget) -> None:
        """Look after these fields."""
        for field in fields:
            field.installEventFilter(self)
            field.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            if isinstance(field, QComboBox):
                field.view().pressed.connect(field.clearFocus)


class YieldsUndo(QObject):
    """Leaves Undo and Redo to the window once what was typed is taken: a field takes it back for the eye alone."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        edit = watched.lineEdit() if isinstance(watched, QAbstractSpinBox) else watched
        if event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent):
            is_ours = event.matches(QKeySequence.StandardKey.Undo) or event.matches(QKeySequence.StandardKey.Redo)
            if is_ours and isinstance(edit, QLineEdit) and not edit.isModified():
                event.ignore()
                return True
        return super().eventFilter(watched, event)

    def watch(self, *fields: QLineEdit | QAbstractSpinBox) -> None:
        """Look after these fields."""
        for field in fields:
            edit = field.lineEdit() if isinstance(field, QAbstractSpinBox) else field
            field.installEventFilter(self)
            field.editingFinished.connect(partial(edit.setModified, False))


def commit(field: QWidget | None) -> None:
    """Let a field take what was typed into it, as if the focus left it; of other widgets, nothing changes."""
    if isinstance(field, (QLineEdit, QAbstractSpinBox)):
        field.clearFocus()
        field.setFocus()


class Factor(QDoubleSpinBox):
    """An acceleration: whole numbers without decimals, others with."""

    corrected = Signal(str)

    def __init__(self) -> None:
        super().__init__(minimum=1, maximum=32, singleStep=1, decimals=2, value=4)
        self.setSuffix(" ×")
        self.setKeyboardTracking(False)
        self.lineEdit().setTextMargins(3, 0, 0, 0)

    def textFromValue(self, value: float) -> str:
        return f"{value:g}"

    def valueFromText(self, text: str) -> float:
        number = text.removesuffix("×").strip().replace(",", ".")
        try:
            return float(number)
        except ValueError:
            return self.value()

    def validate(self, text: str, position: int) -> tuple[QValidator.State, str, int]:
        number = text.removesuffix("×").strip().replace(",", ".")
        try:
            is_number = self.minimum() <= float(number) <= self.maximum()
        except ValueError:
            is_number = False
        if is_number:
            return QValidator.State.Acceptable, text, position
        # What can become a number is waited for; a letter is a key that was meant for the window.
        is_typing = set(number) <= _OF_NUMBERS
        return (QValidator.State.Intermediate if is_typing else QValidator.State.Invalid), text, position

    def fixup(self, text: str) -> str:
        """Say why the last value comes back instead of what was typed."""
        typed = text.removesuffix("×").strip()
        limits = f"{self.minimum():g} to {self.maximum():g}"
        self.corrected.emit(f"Acceleration cannot be {typed!r}; give a number from {limits}.")
        return text


class FormScroll(QScrollArea):
    """Scrolls a form up and down; never narrower than the form, since no bar would lead to what is cut off.

    Parameters
    ----------
    content
        The form.
    """

    def __init__(self, content: QWidget) -> None:
        super().__init__(widgetResizable=True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._content = content
        self.setWidget(content)

    def minimumSizeHint(self) -> QSize:
        """Width of the form beside its scroll bar."""
        width = self._content.minimumSizeHint().width() + self.verticalScrollBar().sizeHint().width()
        return QSize(width, super().minimumSizeHint().height())

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow a form that becomes wider or narrower."""
        if event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return super().eventFilter(watched, event)


def form(parent: QWidget | None = None) -> QFormLayout:
    """Make an empty form: names on the left, fields as wide as there is room."""
    layout = QFormLayout(parent)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setHorizontalSpacing(theme.GAP)
    layout.setVerticalSpacing(theme.SPACE + 2)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    layout.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    return layout


def describe(*rows: tuple[QWidget, str, str]) -> None:
    """Give widgets the names that screen readers say, and hints for where the pointer rests."""
    for widget, name, hint in rows:
        widget.setAccessibleName(name)
        widget.setToolTip(hint)


def align_labels(layout: QFormLayout, width: int) -> None:
    """Make the names of a form quiet and equally wide, so that its fields stand under those of another form."""
    for row in range(layout.rowCount()):
        item = layout.itemAt(row, QFormLayout.ItemRole.LabelRole)
        label = None if item is None else item.widget()
        if label is not None:
            label.setProperty("muted", True)
            label.setMinimumWidth(width)


def choose(combo: QComboBox, value: Any) -> None:
    """Show the entry that holds a value; nothing where none does."""
    combo.setCurrentIndex(combo.findData(value))


def beside(**fields: QWidget) -> QGridLayout:
    """Put short fields side by side, each under its name."""
    layout = QGridLayout()
    layout.setHorizontalSpacing(theme.GAP)
    layout.setVerticalSpacing(2)
    for column, (name, field) in enumerate(fields.items()):
        layout.addWidget(muted(name.replace("_", " "), field), 0, column)
        layout.addWidget(field, 1, column)
        layout.setColumnStretch(column, 1)
    return layout


def heading(text: str) -> QLabel:
    """Make a heading."""
    label = QLabel(text)
    label.setProperty("heading", True)
    return label


def muted(text: str, buddy: QWidget | None = None) -> QLabel:
    """Make a quiet label, of a field where there is one."""
    label = QLabel(text)
    label.setProperty("muted", True)
    if buddy is not None:
        label.setBuddy(buddy)
    return label
