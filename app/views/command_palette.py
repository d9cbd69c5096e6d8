"""The command palette: a field and a list at the top of the window, to find by a few words what can be done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QModelIndex, QObject, QPersistentModelIndex, QRect, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFocusEvent, QFontMetrics, QKeyEvent, QPainter
from PySide6.QtWidgets import (
    QApplication,
    QFrame,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QMainWindow,
    QStyle,
    QStyledItemDelegate,
    QVBoxLayout,
    QWidget,
)
from shiboken6 import isValid

from app import theme
from app.finding import Choice, found
from app.views.named import named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QMouseEvent
    from PySide6.QtWidgets import QStyleOptionViewItem

WIDTH = 560
N_ROWS = 12
"""Rows that are seen at once."""
NOTHING = "Nothing has these words"
_CHOICE = Qt.ItemDataRole.UserRole
_STEPS = {
    Qt.Key.Key_Up: -1,
    Qt.Key.Key_Down: 1,
    Qt.Key.Key_Backtab: -1,
    Qt.Key.Key_Tab: 1,
    Qt.Key.Key_PageUp: 1 - N_ROWS,
    Qt.Key.Key_PageDown: N_ROWS - 1,
}
# Another window, or the menu of the field, takes the keys for a while.
_PASSING = (Qt.FocusReason.ActiveWindowFocusReason, Qt.FocusReason.PopupFocusReason)


class _Delegate(QStyledItemDelegate):
    """Paints a row: title, behind it in grey where it belongs, its shortcut at the right."""

    def sizeHint(self, option: QStyleOptionViewItem, _index: QModelIndex | QPersistentModelIndex) -> QSize:
        return QSize(160, option.fontMetrics.height() + theme.MARGIN)

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        colours, choice = theme.colours(), index.data(_CHOICE)
        is_current = bool(option.state & QStyle.StateFlag.State_Selected) and choice is not None
        can_run = choice is not None and choice.can_run
        painter.save()
        if is_current:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(colours.selection))
            painter.drawRoundedRect(option.rect, theme.SPACE, theme.SPACE)
        room = option.rect.adjusted(theme.GAP, 0, -theme.GAP, 0)
        small = theme.small_font(option.font)
        # Grey on the ground of the selection is hard to read.
        quiet = QColor(colours.disabled if not can_run else colours.text if is_current else colours.muted)
        shortcut = "" if choice is None else choice.shortcut
        painter.setFont(small)
        painter.setPen(quiet)
        painter.drawText(room, int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight), shortcut)
        if shortcut:
            room.setRight(room.right() - QFontMetrics(small).horizontalAdvance(shortcut) - 2 * theme.GAP)
        group = "" if choice is None else choice.group
        behind = QFontMetrics(small).horizontalAdvance(group) + theme.GAP if group else 0
        metrics = QFontMetrics(option.font)
        title = metrics.elidedText(index.data(), Qt.TextElideMode.ElideMiddle, room.width() - behind)
        painter.setFont(option.font)
        painter.setPen(QColor(colours.text if can_run else colours.disabled))
        painter.drawText(room, Qt.AlignmentFlag.AlignVCenter, title)
        room.setLeft(room.left() + metrics.horizontalAdvance(title) + theme.GAP)
        painter.setFont(small)
        painter.setPen(quiet)
        painter.drawText(room, Qt.AlignmentFlag.AlignVCenter, group)
        painter.restore()


class CommandPalette(QWidget):
    """Covers a window while it is open: a click beside the list closes it, and does nothing else.

    A part of the window rather than one of its own, which not every desktop lets a program put somewhere.

    Signals
    -------
    taken
        The user took a `Choice` that can be done; the palette is closed, and the focus is back where it was.
    """

    taken = Signal(object)

    def __init__(self, window: QMainWindow) -> None:
        super().__init__(window)
        self.setObjectName("commandPalette")
        self.setAccessibleName("Find a command")
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.PreventContextMenu)
        self._window = window
        self._choices: Sequence[Choice] = ()
        self._recent: Sequence[str] = ()
        self._before: QWidget | None = None
        self.panel = named("commandPanel", QFrame(self))
        self.field = named("commandField", QLineEdit(placeholderText="Command, model, series or pane …"))
        self.field.setAccessibleName("Find a command")
        self.field.setToolTip("Words or initials of what to do, of its menu or its key")
        self.field.setClearButtonEnabled(True)
        self.list = named("commandList", QListWidget())
        self.list.setAccessibleName("Commands")
        self.list.setFrameShape(QFrame.Shape.NoFrame)
        self.list.setMouseTracking(True)
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setVerticalScrollMode(QListWidget.ScrollMode.ScrollPerPixel)
        self.list.setItemDelegate(_Delegate(self.list))
        layout = QVBoxLayout(self.panel)
        layout.setContentsMargins(*[theme.GAP] * 4)
        layout.setSpacing(theme.GAP)
        layout.addWidget(self.field)
        layout.addWidget(self.list)
        self.field.installEventFilter(self)
        self.field.textChanged.connect(lambda _text: self._fill())
        self.list.itemEntered.connect(self.list.setCurrentItem)
        self.list.itemClicked.connect(self._take)
        self.hide()

    def open(self, choices: Sequence[Choice], recent: Sequence[str] = ()) -> None:
        """Show what can be done.

        Parameters
        ----------
        choices
            All of it, in order.
        recent
            Keys of the last choices, newest first.
        """
        if self.isVisible():
            return
        self._choices, self._recent = choices, recent
        self._before = QApplication.focusWidget()
        self.field.clear()
        self._fill()
        self._window.installEventFilter(self)
        self.show()
        self.raise_()
        self._window.activateWindow()  # from a floating pane, too
        self.field.setFocus()

    def refresh(self, choices: Sequence[Choice]) -> None:
        """Take what can be done now; the row that the user is on stays."""
        self._choices = choices
        item = self.list.currentItem()
        here = None if item is None else item.data(_CHOICE)
        self._fill()
        for row in range(self.list.count()):
            choice = self.list.item(row).data(_CHOICE)
            if here is not None and choice is not None and choice.key == here.key:
                self.list.setCurrentRow(row)

    def shown(self) -> list[Choice]:
        """Return what is listed."""
        rows = (self.list.item(row).data(_CHOICE) for row in range(self.list.count()))
        return [choice for choice in rows if choice is not None]

    def dismiss(self) -> None:
        """Close, and give the focus back to where it was."""
        before, self._before = self._before, None
        # Before it goes: Qt would give the focus of what is hidden to a neighbour.
        if before is not None and isValid(before) and before.isVisible():
            before.setFocus()
        else:
            self.field.clearFocus()
        self._close()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Let the keys of the list work in the field, and keep those of the window from working."""
        if watched is self._window:
            if event.type() == QEvent.Type.Resize:
                self._place()
        elif event.type() == QEvent.Type.ShortcutOverride:
            event.accept()
            return True
        elif event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            return self._press(Qt.Key(event.key()))
        elif isinstance(event, QFocusEvent) and event.lostFocus() and event.reason() not in _PASSING:
            self._close()
        return super().eventFilter(watched, event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Close when the user clicks beside the list."""
        if not self.panel.geometry().contains(event.position().toPoint()):
            self.dismiss()

    def _press(self, key: Qt.Key) -> bool:
        if key == Qt.Key.Key_Escape:
            self.dismiss()
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._take(self.list.currentItem())
        elif key in _STEPS:
            self._go(_STEPS[key])
        else:
            return False
        return True

    def _go(self, by: int) -> None:
        """Go some rows on, by one also around the ends."""
        count, row = self.list.count(), self.list.currentRow() + by
        self.list.setCurrentRow(row % count if abs(by) == 1 else max(0, min(row, count - 1)))

    def _fill(self) -> None:
        self.list.clear()
        for choice in found(self._choices, self.field.text(), self._recent):
            item = QListWidgetItem(choice.title)
            item.setData(_CHOICE, choice)
            words = (choice.title, choice.group, choice.shortcut, "" if choice.can_run else "cannot be done now")
            item.setData(Qt.ItemDataRole.AccessibleTextRole, ", ".join(word for word in words if word))
            self.list.addItem(item)
        if not self.list.count():
            nothing = QListWidgetItem(NOTHING)
            nothing.setFlags(Qt.ItemFlag.NoItemFlags)
            self.list.addItem(nothing)
        # The best one, also where it cannot be done: Enter must not do what stands below it.
        self.list.setCurrentRow(0)
        self.list.scrollToTop()
        self._place()

    def _place(self) -> None:
        """Cover the window, with the panel in the middle below its menus."""
        self.setGeometry(self._window.rect())
        top = self._window.menuBar().geometry().bottom() + 1 + theme.GAP
        row, edge = self.list.sizeHintForRow(0), 2 * self.list.frameWidth() + 2
        around = self.field.sizeHint().height() + 3 * theme.GAP + edge
        n_rows = max(1, min(self.list.count(), N_ROWS, (self.height() - top - around - theme.GAP) // row))
        width = min(WIDTH, self.width() - 2 * theme.GAP)
        self.panel.setGeometry(QRect((self.width() - width) // 2, top, width, around + n_rows * row))

    def _take(self, item: QListWidgetItem | None) -> None:
        choice = None if item is None else item.data(_CHOICE)
        if choice is not None and choice.can_run:
            self.dismiss()
            self.taken.emit(choice)

    def _close(self) -> None:
        self._window.removeEventFilter(self)
        self.hide()
