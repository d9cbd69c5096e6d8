"""A training run seen from outside: how far it is, its curves beside those of other runs, and what can be done."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QMenu,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QStackedLayout,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.views.named import named
from app.views.preview_strip import PreviewStrip
from app.views.segmented import Segmented
from app.views.training_plots import AXES, RunCurves, TrainingPlots, colour_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

EMPTY_TEXT = "No training run yet"
LEAST_WIDTH = 316
NUMBERS = ("step", "loss", "PSNR", "SSIM", "speed", "memory", "rate", "left")
_STATE_ROLES = {"training": "accent", "starting": "accent", "finished": "good", "failed": "error", "killed": "error"}
_STATE_ROLES |= dict.fromkeys(("pausing", "stopping", "paused", "stopped"), "warning") | {"folder gone": "error"}
_WAITING = {"starting": "Reading the data …", "training": "The first steps are under way …"}


class TrainingMonitor(QWidget):
    """Shows a run (object name ``trainingMonitor``) and says by signal what the user wants of it.

    Setters: ``set_run``, ``set_numbers``, ``set_progress``, ``set_runs`` (curves), ``set_offers`` (buttons).
    """

    train_wanted = Signal()
    open_wanted = Signal()
    pause_wanted = Signal()
    stop_wanted = Signal()
    resume_wanted = Signal()
    publish_wanted = Signal()
    offer_accepted = Signal()
    folder_wanted = Signal()
    compare_wanted = Signal(object, bool)
    """A run folder, and whether its curves are to be shown."""
    axis_chosen = Signal(str)
    """One of `app.views.training_plots.AXES`."""
    compare_other_wanted = Signal()
    compare_menu_opened = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("trainingMonitor")
        self.setAccessibleName("Training run")
        self._state = ""
        self._legend: list[str] = []
        self._has_curves = False
        self._has_zero_filled = False
        self._stack = QStackedLayout(self)
        self._stack.addWidget(self._empty_page())
        # A small screen scrolls instead of laying the parts over each other.
        area = QScrollArea(widgetResizable=True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setMinimumWidth(LEAST_WIDTH)
        area.setWidget(self._run_page())
        self._stack.addWidget(area)
        # Buttons that are never seen together must not reserve room for each other.
        self.set_offers(is_running=False, is_ending=False, can_resume=False, can_publish=False, is_publishing=False)
        theme.notifier().changed.connect(self._show_legend)

    # ---------------------------------------------------------------- construction

    def _empty_page(self) -> QWidget:
        page = QWidget(self)
        text = QLabel(EMPTY_TEXT)
        text.setProperty("muted", True)
        text.setAlignment(Qt.AlignmentFlag.AlignCenter)
        layout = QVBoxLayout(page)
        layout.addStretch(1)
        layout.addWidget(text)
        for name, label, hint, signal in (
            ("trainFirst", "Train a model…", "Choose data, recipe and method in the settings", self.train_wanted),
            ("openFirstRun", "Open a run…", "Show a run by its folder, also one from a terminal", self.open_wanted),
        ):
            button = named(name, QPushButton(label))
            button.setToolTip(hint)
            button.clicked.connect(signal)
            layout.addWidget(button, 0, Qt.AlignmentFlag.AlignCenter)
        layout.addStretch(2)
        return page

    def _run_page(self) -> QWidget:
        page = QWidget(self)
        self.title = QLabel()
        self.title.setProperty("heading", True)
        self.title.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.state = named("trainingState", QLabel())
        self.state.setProperty("heading", True)
        self.sentence = named("trainingSentence", QLabel(wordWrap=True))
        self.sentence.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.progress = named("trainingProgress", QProgressBar(maximum=1000))
        self.progress.setAccessibleName("Share of the training that is done")
        self.plots = TrainingPlots()
        self.preview = PreviewStrip()
        self.legend = QLabel(wordWrap=True)
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.axis = named("trainingAxis", Segmented(AXES, "Draw against"))
        self.axis.chosen.connect(lambda index: self.axis_chosen.emit(AXES[index]))
        head = QHBoxLayout()
        head.setSpacing(theme.GAP)
        head.addWidget(self.title, 1)
        head.addWidget(self.state)
        for tool in self._tools():
            head.addWidget(tool)
        layout = QVBoxLayout(page)
        layout.setContentsMargins(theme.GAP, theme.GAP, theme.GAP, theme.GAP)
        layout.setSpacing(theme.GAP)
        layout.addLayout(head)
        layout.addWidget(self.sentence)
        layout.addWidget(self.progress)
        layout.addLayout(self._number_grid())
        layout.addLayout(self._button_row())
        layout.addWidget(self._waiting_page(), 3)
        layout.addWidget(self.plots, 3)
        layout.addWidget(self.axis)
        layout.addWidget(self.legend)
        layout.addWidget(self.preview, 2)
        return page

    def _waiting_page(self) -> QWidget:
        """Make what stands where the curves will be."""
        self.waiting = QWidget()
        self.waiting_text = QLabel(wordWrap=True)
        self.waiting_text.setProperty("muted", True)
        self.waiting_text.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.waiting_bar = named("trainingWaiting", QProgressBar(minimum=0, maximum=0, textVisible=False))
        self.waiting_bar.setAccessibleName("The training gets ready")
        self.waiting_bar.setFixedHeight(theme.GAP)
        layout = QVBoxLayout(self.waiting)
        layout.addStretch(1)
        layout.addWidget(self.waiting_text)
        layout.addWidget(self.waiting_bar)
        layout.addStretch(2)
        return self.waiting

    def _number_grid(self) -> QGridLayout:
        self._numbers: dict[str, QLabel] = {}
        grid = QGridLayout()
        grid.setHorizontalSpacing(theme.GAP)
        grid.setVerticalSpacing(0)
        small = theme.small_font(self.font())
        for place, name in enumerate(NUMBERS):
            label, value = QLabel(name), QLabel("–")
            label.setProperty("muted", True)
            label.setFont(small)
            value.setFont(theme.number_font(self.font()))
            value.setAccessibleName(name)
            row, column = divmod(place, 4)
            grid.addWidget(label, 2 * row, column, Qt.AlignmentFlag.AlignBottom)
            grid.addWidget(value, 2 * row + 1, column)
            grid.setColumnStretch(column, 1)
            self._numbers[name] = value
            grid.setRowMinimumHeight(2, label.sizeHint().height() + theme.SPACE)
        return grid

    def _button_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(theme.SPACE)
        self.pause = self._button("pauseTraining", "Pause", "pause", self.pause_wanted)
        self.pause.setToolTip("Free the machine for a while: write a checkpoint and end; Resume goes on from there")
        self.resume = self._button("resumeTraining", "Resume", "play", self.resume_wanted)
        self.resume.setToolTip("Go on from the last checkpoint")
        self.stop = self._button("stopTraining", "Stop", "stop", self.stop_wanted)
        self.publish = self._button("publishTraining", "Publish", "tray-arrow-up", self.publish_wanted)
        self.publish.setToolTip("Put the weights of the last checkpoint into the list of models. Research use only.")
        self.offer = self._button("acceptOffer", "Run what fits", "play", self.offer_accepted)
        for button in (self.pause, self.resume, self.offer, self.stop, self.publish):
            row.addWidget(button)
        row.addStretch(1)
        row.addWidget(self._compare_button())
        return row

    def _compare_button(self) -> QToolButton:
        hint = "Draw the curves of other runs beside these"
        self.compare = self._tool("compareTraining", "Compare", "chart-line", hint)
        self.compare.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.compare_menu = QMenu(self.compare)
        self.compare_menu.aboutToShow.connect(self.compare_menu_opened)
        self.compare.setMenu(self.compare_menu)
        self.compare.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        return self.compare

    def _tools(self) -> tuple[QToolButton, ...]:
        folder = self._tool("openTrainingFolder", "Open folder", "folder-outline", "Open the run folder")
        folder.clicked.connect(self.folder_wanted)
        other = self._tool("openRun", "Open another run", "folder-open-outline", "Show another run")
        other.clicked.connect(self.open_wanted)
        new = self._tool("trainNew", "Train a model", "plus", "Start another training")
        new.clicked.connect(self.train_wanted)
        return folder, other, new

    def _button(self, name: str, text: str, icon: str, signal: Any) -> QPushButton:
        button = named(name, QPushButton(text))
        theme.set_icon(button, icon)
        button.clicked.connect(signal)
        return button

    def _tool(self, name: str, text: str, icon: str, hint: str) -> QToolButton:
        button = named(name, QToolButton())
        button.setText(text)
        button.setAccessibleName(text)
        button.setToolTip(hint)
        theme.set_icon(button, icon)
        return button

    # ---------------------------------------------------------------- what is shown

    def set_run(self, name: str, path: str, state: str, sentence: str, hint: str = "") -> None:
        """Show a run by name and state, and a hint on its sentence; an empty name shows that there is none."""
        self._stack.setCurrentIndex(1 if name else 0)
        self.title.setText(name)
        self.title.setToolTip(path)
        self._state = state
        self.sentence.setText(sentence)
        self.sentence.setToolTip(hint)
        self.sentence.setVisible(bool(sentence))
        self._show_waiting()
        self.state.setText(state)
        theme.dress(self.state, colour=_STATE_ROLES.get(state, "muted"))
        self._show_legend()

    def set_offers(
        self,
        *,
        is_running: bool,
        is_ending: bool,
        can_resume: bool,
        can_publish: bool,
        is_publishing: bool,
        offer: str = "",
    ) -> None:
        """Show the buttons that do something now; the offer names what would fit after the memory ran out."""
        shown = {
            self.pause: is_running,
            self.stop: is_running,
            self.resume: can_resume,
            self.offer: bool(offer),
            self.publish: can_publish or is_publishing,
        }
        # What goes leaves first: for a moment both together would be wider than the pane, and widen it.
        for button in sorted(shown, key=shown.__getitem__):
            button.setVisible(shown[button])
        self.offer.setToolTip(f"Go on with what was tried and fits: {offer}")
        self.pause.setEnabled(not is_ending)
        self.stop.setText("Kill" if is_ending else "Stop")
        self.stop.setToolTip(
            "End the process at once; what it learned since its last checkpoint is lost"
            if is_ending
            else "End the training for good: write a checkpoint, whose weights can be published"
        )
        self.publish.setEnabled(not is_publishing)
        self.publish.setText("Publishing …" if is_publishing else "Publish")

    def set_progress(self, share: float | None, text: str) -> None:
        """Show how much is done; None hides the bar."""
        self.progress.setVisible(share is not None)
        self.progress.setValue(round(1000 * (share or 0.0)))
        self.progress.setFormat(text)

    def set_numbers(self, numbers: Mapping[str, str]) -> None:
        """Show the numbers that are known, by the names of `NUMBERS`."""
        for name, label in self._numbers.items():
            label.setText(numbers.get(name) or "–")

    def numbers(self) -> dict[str, str]:
        """Return the numbers as they are shown."""
        return {name: label.text() for name, label in self._numbers.items()}

    def set_runs(self, runs: Sequence[RunCurves]) -> None:
        """Draw the curves of the run and of those that it is compared with."""
        self.plots.set_runs(runs)
        self._has_curves = self.plots.has_curves()
        self._show_waiting()
        self._legend = [run.name for run in runs]
        self._has_zero_filled = any(run.is_main and "zero_filled_psnr" in run.curves for run in runs)
        self._show_legend()

    def set_axis(self, axis: str) -> None:
        """Draw the curves against one of `app.views.training_plots.AXES`."""
        self.axis.set_index(AXES.index(axis))
        self.plots.set_axis(axis)

    def set_comparisons(self, folders: Sequence[Path], chosen: Sequence[Path]) -> None:
        """Offer runs to compare with."""
        self.compare_menu.clear()
        for folder in folders:
            action = self.compare_menu.addAction(folder.name)
            action.setCheckable(True)
            action.setChecked(folder in chosen)
            action.setToolTip(str(folder))
            action.toggled.connect(lambda is_on, folder=folder: self.compare_wanted.emit(folder, is_on))
        self.compare_menu.addSeparator()
        self.compare_menu.addAction("Another folder…").triggered.connect(self.compare_other_wanted)

    def is_empty(self) -> bool:
        """Whether no run is shown."""
        return self._stack.currentIndex() == 0

    def sizeHint(self) -> QSize:
        """A column beside the images."""
        return QSize(440, 640)

    def _show_waiting(self) -> None:
        """Show curves, or why there are none yet."""
        text = _WAITING.get(self._state, "")
        self.waiting_text.setText(text)
        self.waiting_bar.setVisible(bool(text))
        # What goes leaves first, as with the buttons.
        shown = {self.waiting: not self._has_curves, self.plots: self._has_curves, self.axis: self._has_curves}
        for widget in sorted(shown, key=shown.__getitem__):
            widget.setVisible(shown[widget])

    def _show_legend(self) -> None:
        parts = [
            f"<span style='color:{colour_of(number)}'>\N{BLACK SQUARE}</span>&nbsp;{escape(name)}"
            for number, name in enumerate(self._legend)
        ]
        if self._has_zero_filled:
            parts.append(f"<span style='color:{theme.colours().muted}'>\u2504\u2504&nbsp;zero-filled</span>")
        self.legend.setText(" &nbsp; ".join(parts))
        self.legend.setVisible(len(parts) > 1)
