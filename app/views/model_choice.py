"""The choice of the model: a box with its name that opens a list to search in, under headings, beside the card."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from PySide6.QtCore import QEvent, QModelIndex, QObject, QPersistentModelIndex, QPoint, QRect, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontMetrics,
    QKeyEvent,
    QPainter,
    QPaintEvent,
    QStandardItem,
    QStandardItemModel,
)
from PySide6.QtWidgets import (
    QApplication,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLineEdit,
    QListView,
    QPushButton,
    QStyle,
    QStyledItemDelegate,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.views.model_card import card_html, short_reason
from app.views.named import named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtWidgets import QStyleOptionViewItem

NAME = Qt.ItemDataRole.UserRole
_ENTRY = Qt.ItemDataRole.UserRole + 1
_ACCESSIBLE = Qt.ItemDataRole.AccessibleTextRole
_SIZE = QSize(640, 460)
_LIST_WIDTH = 276
_LEAST_HEIGHT = 240
_LIST_KEYS = (Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_PageUp, Qt.Key.Key_PageDown)


class Entry(NamedTuple):
    """A model in the list.

    Attributes
    ----------
    card
        What it is.
    problem
        Why it cannot be used with the current series; empty when it can.
    """

    card: Any
    problem: str

    def has(self, words: Sequence[str]) -> bool:
        """Whether all words occur in its name, or begin a word of what its card says."""
        card = self.card
        name = f"{card.name} {card.title}".casefold()
        rest = f"{card.group} {card.paper} {card.summary}".casefold()
        return all(word in name or re.search(rf"\b{re.escape(word)}", rest) for word in words)


class _Delegate(QStyledItemDelegate):
    """Paints a line: heading, or name with the reason at its right where it cannot be used."""

    chosen = ""

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        height = option.fontMetrics.height()
        return QSize(_LIST_WIDTH - 24, height + (8 if index.data(_ENTRY) is not None else 14))

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        colours, entry = theme.colours(), index.data(_ENTRY)
        area = option.rect.adjusted(8, 0, -8, 0)
        painter.save()
        if entry is None:
            font = QFont(theme.small_font(option.font))
            font.setWeight(QFont.Weight.DemiBold)
            painter.setFont(font)
            painter.setPen(QColor(colours.muted))
            painter.drawText(area.adjusted(0, 4, 0, 0), Qt.AlignmentFlag.AlignVCenter, index.data())
            painter.restore()
            return
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(option.rect, QColor(colours.selection))
        small = theme.small_font(option.font)
        reason = short_reason(entry.card, entry.problem)
        room = QFontMetrics(small).horizontalAdvance(reason) + 8 if reason else 0
        font = QFont(option.font)
        if entry.card.name == self.chosen:
            font.setWeight(QFont.Weight.DemiBold)
            dot = QRect(area.left() + 2, option.rect.center().y() - 2, 5, 5)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(colours.accent))
            painter.drawEllipse(dot)
        painter.setFont(font)
        painter.setPen(QColor(colours.muted if entry.problem else colours.text))
        left = area.adjusted(14, 0, -room, 0)
        title = QFontMetrics(font).elidedText(entry.card.title, Qt.TextElideMode.ElideRight, left.width())
        painter.drawText(left, Qt.AlignmentFlag.AlignVCenter, title)
        painter.setFont(small)
        painter.setPen(QColor(colours.muted))
        right = int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight)
        painter.drawText(area, right, reason)
        painter.restore()


class ModelPopup(QFrame):
    """Search field and list on the left, the card of the line that the pointer or the keys are on at the right.

    Signals
    -------
    taken
        The user chose a model that can be used: its name.
    train_wanted
        The user wants to train one that has no weights: its name.
    """

    taken = Signal(str)
    train_wanted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setObjectName("modelPopup")
        self.setAccessibleName("Models")
        # A click on the box that closes the list must not open it again.
        self.setAttribute(Qt.WidgetAttribute.WA_NoMouseReplay)
        self._groups: list[tuple[str, list[Entry]]] = []
        self.search = named("modelSearch", QLineEdit(placeholderText="Search by name, paper, method …"))
        self.search.setAccessibleName("Search models")
        self.search.setToolTip("Words that the name, the paper or the description of a model holds")
        self.search.setClearButtonEnabled(True)
        self.list = named("modelList", QListView())
        self.list.setAccessibleName("Models")
        self.list.setFrameShape(QFrame.Shape.NoFrame)
        self.list.setMouseTracking(True)
        self.list.setEditTriggers(QListView.EditTrigger.NoEditTriggers)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._delegate = _Delegate(self.list)
        self.list.setItemDelegate(self._delegate)
        self._model = QStandardItemModel(self)
        self.list.setModel(self._model)
        self.card = named("modelCard", QTextBrowser())
        self.card.setAccessibleName("Card of the model")
        self.card.setFrameShape(QFrame.Shape.NoFrame)
        self.card.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.train = named("trainThisModel", QPushButton("Train it…"))
        self.train.setAccessibleName("Train this model")
        self.train.setToolTip("Open the training settings with this model")
        self._lay_out()
        self.search.installEventFilter(self)
        self.search.textChanged.connect(self._fill)
        self.list.entered.connect(self.list.setCurrentIndex)
        self.list.clicked.connect(self._take)
        self.list.selectionModel().currentChanged.connect(self._show_card)
        self.train.clicked.connect(self._train)

    def _lay_out(self) -> None:
        left = QVBoxLayout()
        left.setContentsMargins(theme.GAP, theme.GAP, 0, theme.SPACE)
        left.setSpacing(theme.GAP)
        left.addWidget(self.search)
        left.addWidget(self.list, 1)
        right = QVBoxLayout()
        right.setContentsMargins(theme.GAP, theme.GAP, theme.GAP, theme.GAP)
        right.addWidget(self.card, 1)
        right.addWidget(self.train, 0, Qt.AlignmentFlag.AlignLeft)
        holder = QWidget()
        holder.setLayout(left)
        holder.setFixedWidth(_LIST_WIDTH)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(1, 1, 1, 1)
        layout.setSpacing(0)
        layout.addWidget(holder)
        layout.addLayout(right, 1)

    def open_at(self, anchor: QWidget, groups: list[tuple[str, list[Entry]]], chosen: str) -> None:
        """Show the models beside a widget.

        Parameters
        ----------
        anchor
            The list opens below it, above it where there is more room.
        groups
            Headings and their models.
        chosen
            Name of the model in use.
        """
        self._groups, self._delegate.chosen = groups, chosen
        blocked = self.search.blockSignals(True)
        self.search.clear()
        self.search.blockSignals(blocked)
        self._fill()
        self.setGeometry(self._place(anchor))
        self.show()
        self.search.setFocus()
        self._go_to(chosen)

    def current(self) -> Entry | None:
        """Return the model whose card is shown."""
        entry: Entry | None = self.list.currentIndex().data(_ENTRY)
        return entry

    def names(self) -> list[str]:
        """Return the names of the models that are listed."""
        return [name for row in range(self._model.rowCount()) if (name := self._model.item(row).data(NAME))]

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the ground and its edge, which the style draws for no window of this kind."""
        painter = QPainter(self)
        painter.setPen(QColor(theme.colours().disabled))
        painter.setBrush(QColor(theme.colours().window))
        painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
        painter.end()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Let the keys of a list work while the search field has the focus."""
        if event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            if event.key() in _LIST_KEYS:
                QApplication.sendEvent(self.list, event)
                return True
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self._take(self.list.currentIndex())
                return True
        return super().eventFilter(watched, event)

    # ---------------------------------------------------------------- list and card

    def _place(self, anchor: QWidget) -> QRect:
        """Below the box where the list fits, else on the side with more room: the box itself stays in sight."""
        box = QRect(anchor.mapToGlobal(QPoint(0, 0)), anchor.size()).adjusted(0, -2, 0, 2)
        screen = anchor.screen().availableGeometry()
        room_below, room_above = screen.bottom() - box.bottom(), box.top() - screen.top()
        is_below = room_below >= min(_SIZE.height(), room_above)
        height = max(_LEAST_HEIGHT, min(_SIZE.height(), room_below if is_below else room_above))
        top = box.bottom() if is_below else box.top() - height
        left = min(box.left(), screen.right() - _SIZE.width())
        return QRect(QPoint(max(screen.left(), left), top), QSize(_SIZE.width(), height))

    def _fill(self) -> None:
        """List the models that have all words of the search field."""
        words = self.search.text().casefold().split()
        kept = self.current()
        self._model.clear()
        for heading, entries in self._groups:
            found = [entry for entry in entries if entry.has(words)]
            if found:
                title = QStandardItem(heading)
                title.setFlags(Qt.ItemFlag.NoItemFlags)
                self._model.appendRow(title)
            for entry in found:
                item = QStandardItem(entry.card.title)
                item.setData(entry.card.name, NAME)
                item.setData(entry, _ENTRY)
                reason = short_reason(entry.card, entry.problem)
                item.setData(f"{entry.card.title}, {reason}" if reason else entry.card.title, _ACCESSIBLE)
                self._model.appendRow(item)
        names = self.names()
        if not names:
            nothing = QStandardItem("No model has these words")
            nothing.setFlags(Qt.ItemFlag.NoItemFlags)
            self._model.appendRow(nothing)
        # The best line to stand on: where one stood, else the first that can be used.
        usable = [name for name in names if not self._entry(name).problem]
        wanted = kept.card.name if kept is not None and kept.card.name in names and not words else None
        self._go_to(wanted or next(iter(usable or names), ""))
        self._show_card()

    def _entry(self, name: str) -> Entry:
        return next(entry for _, entries in self._groups for entry in entries if entry.card.name == name)

    def _go_to(self, name: str) -> None:
        for row in range(self._model.rowCount()):
            if name and self._model.item(row).data(NAME) == name:
                self.list.setCurrentIndex(self._model.index(row, 0))
                self.list.scrollTo(self._model.index(row, 0), QListView.ScrollHint.PositionAtCenter)

    def _show_card(self, *_: Any) -> None:
        entry = self.current()
        self.card.setHtml("" if entry is None else card_html(entry.card, entry.problem))
        self.train.setVisible(entry is not None and entry.card.needs_training and not entry.card.available)

    def _take(self, index: QModelIndex) -> None:
        entry = index.data(_ENTRY)
        if entry is not None and not entry.problem:
            self.hide()
            self.taken.emit(entry.card.name)

    def _train(self) -> None:
        entry = self.current()
        if entry is not None:
            self.hide()
            self.train_wanted.emit(entry.card.name)


class ModelChoice(QComboBox):
    """The model in use (object name ``modelChoice``); the data of an entry is the name of its preset.

    The arrow keys step through the models that can be used; a click, Space or F4 opens the list with the cards.
    """

    train_wanted = Signal(str)
    """Name of a model without weights that the user wants to train."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("modelChoice")
        self.setModel(QStandardItemModel(self))
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(12)
        self._groups: list[tuple[str, list[Entry]]] = []
        self._popup: ModelPopup | None = None
        self.currentIndexChanged.connect(self._describe)

    def set_groups(self, groups: Sequence[tuple[str, Sequence[tuple[Any, str]]]], current: str) -> None:
        """List the models under headings.

        Parameters
        ----------
        groups
            Heading, and for each of its models the card and why it cannot be used (empty when it can).
        current
            Name of the model to choose.
        """
        self._groups = [(heading, [Entry(*entry) for entry in entries]) for heading, entries in groups]
        model = QStandardItemModel(self)
        for heading, entries in self._groups:
            title = QStandardItem(heading)
            title.setFlags(Qt.ItemFlag.NoItemFlags)
            model.appendRow(title)
            for entry in entries:
                item = QStandardItem(entry.card.title)
                item.setData(entry.card.name, NAME)
                item.setToolTip(entry.problem or entry.card.summary)
                if entry.problem:
                    item.setFlags(Qt.ItemFlag.NoItemFlags)
                model.appendRow(item)
        self.setModel(model)  # which deletes the one before
        self.setCurrentIndex(self.findData(current))
        self._describe()

    def popup(self) -> ModelPopup:
        """Return the list with the cards, which is made when it is first needed."""
        if self._popup is None:
            # Not a part of the box: the style would dress its fields as the insides of one.
            self._popup = ModelPopup(self.window())
            self._popup.taken.connect(lambda name: self.setCurrentIndex(self.findData(name)))
            self._popup.train_wanted.connect(self.train_wanted)
            # Who has chosen with the mouse turns slices next; see `fields.KeepsKeys`.
            self._popup.list.clicked.connect(self.clearFocus)
        return self._popup

    def showPopup(self) -> None:
        """Open the list with the cards instead of a plain one."""
        if self._groups:
            self.popup().open_at(self, self._groups, self.currentData() or "")

    def hidePopup(self) -> None:
        """Close it."""
        if self._popup is not None:
            self._popup.hide()

    def _describe(self) -> None:
        entries = [entry for _, group in self._groups for entry in group]
        entry = next((entry for entry in entries if entry.card.name == self.currentData()), None)
        self.setToolTip("What rebuilds the image" if entry is None else card_html(entry.card, entry.problem))
        self.setAccessibleDescription("" if entry is None else entry.card.summary)
