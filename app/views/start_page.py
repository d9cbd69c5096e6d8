"""What one sees first: open, drop, the recent studies, the demo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter, QPen
from PySide6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.views.named import named

if TYPE_CHECKING:
    from PySide6.QtGui import QDragEnterEvent, QDragLeaveEvent, QDropEvent, QPaintEvent

WIDTH = 640
RESEARCH_USE = "For research use only. Not a medical device; not for diagnosis or treatment."


class DropZone(QFrame):
    """A dashed area that takes files and folders."""

    dropped = Signal(list)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("dropZone")
        self.setAcceptDrops(True)
        self.setMinimumHeight(132)
        self._is_hot = False
        self._symbol = QLabel(alignment=Qt.AlignmentFlag.AlignCenter)
        title = QLabel("Drop a scan here", alignment=Qt.AlignmentFlag.AlignCenter)
        title.setProperty("heading", True)
        words = "fastMRI or ISMRMRD raw data, BART or NumPy arrays, DICOM, NIfTI, or a folder of them"
        hint = QLabel(words, alignment=Qt.AlignmentFlag.AlignCenter, wordWrap=True)
        hint.setProperty("muted", True)
        layout = QVBoxLayout(self)
        layout.setSpacing(theme.SPACE)
        layout.addStretch()
        for label in (self._symbol, title, hint):
            label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
            layout.addWidget(label)
        layout.addStretch()
        theme.notifier().changed.connect(self._refresh)
        self._refresh()

    def _refresh(self) -> None:
        self._symbol.setPixmap(theme.icon("tray-arrow-down", "muted").pixmap(QSize(30, 30)))
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        colours = theme.colours()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        pen = QPen(QColor(colours.accent if self._is_hot else colours.line), 1.5, Qt.PenStyle.CustomDashLine)
        pen.setDashPattern([4, 3])
        painter.setPen(pen)
        painter.setBrush(QColor(colours.raised if self._is_hot else colours.base))
        painter.drawRoundedRect(self.rect().adjusted(1, 1, -2, -2), 8, 8)

    def _set_hot(self, is_hot: bool) -> None:
        self._is_hot = is_hot
        self.update()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if event.mimeData().hasUrls():
            event.acceptProposedAction()
            self._set_hot(True)

    def dragLeaveEvent(self, _event: QDragLeaveEvent) -> None:
        self._set_hot(False)

    def dropEvent(self, event: QDropEvent) -> None:
        self._set_hot(False)
        event.acceptProposedAction()
        self.dropped.emit([Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()])


class RecentRow(QPushButton):
    """One recent study: its name, and in grey the folder it lies in."""

    def __init__(self, path: Path, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.path = path
        self.setFlat(True)
        self.setToolTip(str(path))
        self.setAccessibleName(f"Open {path}")
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        return QSize(200, self.fontMetrics().height() + 12)

    def paintEvent(self, _event: QPaintEvent) -> None:
        colours = theme.colours()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        area = self.rect().adjusted(0, 0, -1, -1)
        if self.underMouse() or self.hasFocus():
            painter.setPen(QColor(colours.accent) if self.hasFocus() else Qt.PenStyle.NoPen)
            painter.setBrush(QColor(colours.raised))
            painter.drawRoundedRect(area, 4, 4)
        text = area.adjusted(8, 0, -8, 0)
        metrics = QFontMetrics(self.font())
        name = metrics.elidedText(self.path.name, Qt.TextElideMode.ElideMiddle, text.width() * 2 // 3)
        painter.setPen(QColor(colours.text))
        painter.drawText(text, Qt.AlignmentFlag.AlignVCenter, name)
        small = theme.small_font(self.font())
        painter.setFont(small)
        painter.setPen(QColor(colours.muted))
        text.setLeft(text.left() + metrics.horizontalAdvance(name) + 12)
        folder = QFontMetrics(small).elidedText(str(self.path.parent), Qt.TextElideMode.ElideMiddle, text.width())
        painter.drawText(text, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, folder)


class StartPage(QWidget):
    """The page before a study is open.

    Signals
    -------
    open_file_wanted, open_folder_wanted, demo_wanted
        A button was pressed.
    paths_chosen
        Files were dropped or a recent study was clicked.
    """

    open_file_wanted = Signal()
    open_folder_wanted = Signal()
    demo_wanted = Signal()
    paths_chosen = Signal(list)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("startPage")
        title = QLabel("MRI workstation")
        font = QFont(self.font())
        font.setPointSizeF(self.font().pointSizeF() * 2.1)
        font.setWeight(QFont.Weight.DemiBold)
        title.setFont(font)
        subtitle = QLabel("Open a scan, undersample it, and watch PC-RNN and OUCR rebuild it, iteration by iteration.")
        subtitle.setProperty("muted", True)
        subtitle.setWordWrap(True)

        self.demo_button = named("demoButton", QPushButton("Open the demo study"))
        self.demo_button.setProperty("primary", True)
        self.file_button = named("openFileButton", QPushButton("Open files…"))
        self.folder_button = named("openFolderButton", QPushButton("Open folder…"))
        theme.set_icon(self.demo_button, "play-circle-outline", "on_accent")
        theme.set_icon(self.file_button, "file-outline")
        theme.set_icon(self.folder_button, "folder-open-outline")
        for button in (self.demo_button, self.file_button, self.folder_button):
            button.setMinimumHeight(36)
        self.demo_button.clicked.connect(self.demo_wanted)
        self.file_button.clicked.connect(self.open_file_wanted)
        self.folder_button.clicked.connect(self.open_folder_wanted)
        buttons = QHBoxLayout()
        buttons.setSpacing(theme.GAP)
        buttons.addWidget(self.demo_button, 1)
        buttons.addWidget(self.file_button, 1)
        buttons.addWidget(self.folder_button, 1)

        self.drop_zone = DropZone()
        self.drop_zone.dropped.connect(self.paths_chosen)
        self._state = QLabel(alignment=Qt.AlignmentFlag.AlignCenter)
        self._state.setProperty("muted", True)
        self._recent_heading = QLabel("Recent")
        self._recent_heading.setProperty("heading", True)
        self._paths: tuple[str, ...] | None = None
        self._recent = QVBoxLayout()
        self._recent.setSpacing(0)
        research = named("researchUse", QLabel(RESEARCH_USE, alignment=Qt.AlignmentFlag.AlignCenter))
        research.setProperty("muted", True)

        column = QWidget()
        column.setFixedWidth(WIDTH)
        whole = QVBoxLayout(column)
        whole.setContentsMargins(*[theme.MARGIN - theme.GAP] * 4)
        whole.setSpacing(theme.GAP)
        # The rows of the recent studies reach beyond the rest, so that their names line up with it.
        inner = QVBoxLayout()
        inner.setContentsMargins(theme.GAP, 0, theme.GAP, 0)
        inner.setSpacing(theme.GAP)
        whole.addLayout(inner)
        inner.addWidget(title)
        inner.addWidget(subtitle)
        inner.addSpacing(2 * theme.GAP)
        inner.addWidget(self.drop_zone)
        inner.addSpacing(theme.SPACE)
        inner.addLayout(buttons)
        inner.addWidget(self._state)
        inner.addSpacing(theme.SPACE)
        inner.addWidget(self._recent_heading)
        whole.addLayout(self._recent)
        outer = QGridLayout(self)
        outer.setRowStretch(0, 3)
        outer.addWidget(column, 1, 0, Qt.AlignmentFlag.AlignHCenter)
        outer.setRowStretch(2, 4)
        outer.addWidget(research, 3, 0)

    def set_recent(self, paths: tuple[str, ...]) -> None:
        """List the recent studies; rows that stay keep the keyboard's focus."""
        if paths == self._paths:
            return
        self._paths = paths
        while (item := self._recent.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        for path in map(Path, paths[:6]):
            row = RecentRow(path)
            row.clicked.connect(lambda _checked=False, path=path: self.paths_chosen.emit([path]))
            self._recent.addWidget(row)
        self._recent_heading.setVisible(bool(paths))

    def set_opening(self, names: list[str]) -> None:
        """Say what is being opened; an empty list says nothing."""
        self._state.setText(f"Opening {', '.join(names)} …" if names else "")
