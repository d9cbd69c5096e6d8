"""Send to a PACS: what, where to, and as whom. Says in place what is wrong, and asks once whether a host is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.dialogs.export import kind_of
from app.dialogs.result_choice import ResultChoice
from app.messages import sentence
from app.output import count
from app.views.fields import describe
from app.views.named import named
from recon.errors import RequestError
from recon.export.pacs import Destination, checked_ae_title
from recon.export.privacy import said_of_the_patient

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.results import Result

_USUAL_PORT = 104
_AE_TITLE_LENGTH = 16


class SendDialog(QDialog):
    """Form of what is sent and where to.

    Parameters
    ----------
    results, current
        What can be sent, and what is in view.
    destinations
        Those that were used before, the last one first.
    is_confirmed
        Tells whether images may go to a host without another question.
    calling
        AE title of this program.

    Signals
    -------
    send_wanted
        Destination, AE title of this program, and the result; the host is confirmed.
    verify_wanted
        Destination and AE title of this program, to ask for an answer.
    """

    send_wanted = Signal(object, str, object)
    verify_wanted = Signal(object, str)

    def __init__(
        self,
        results: list[Result],
        current: Result | None,
        destinations: list[Destination],
        is_confirmed: Callable[[str], bool],
        calling: str,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setObjectName("sendDialog")
        self.setWindowTitle("Send to a PACS")
        self._is_confirmed = is_confirmed
        self._asked: Destination | None = None
        self.result_choice = named("sendResult", ResultChoice(results, current))
        self.known = named("sendKnown", QComboBox())
        for destination in destinations:
            self.known.addItem(str(destination), destination)
        self.known.addItem("Another PACS", None)
        self.ae_title = named("sendAETitle", QLineEdit(maxLength=_AE_TITLE_LENGTH))
        self.host = named("sendHost", QLineEdit(placeholderText="name or address"))
        self.port = named("sendPort", QSpinBox(minimum=1, maximum=65535, value=_USUAL_PORT))
        self.port.lineEdit().setTextMargins(3, 0, 0, 0)
        self.calling = named("sendCalling", QLineEdit(calling, maxLength=_AE_TITLE_LENGTH))
        self.verify_button = named("sendVerify", QPushButton("Verify", autoDefault=False))
        self.answer = named("sendAnswer", QLabel(wordWrap=True))
        self.confirm = named("sendConfirm", QCheckBox())
        self.note = named("sendNote", QLabel(wordWrap=True))
        self.note.setProperty("muted", True)
        self.problem = named("sendProblem", QLabel(wordWrap=True))
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.send_button = buttons.addButton("Send", QDialogButtonBox.ButtonRole.AcceptRole)
        self.send_button.setObjectName("sendButton")
        self.send_button.setProperty("primary", True)
        self.send_button.setDefault(True)
        self._describe()
        self._lay_out(buttons)
        self.result_choice.currentIndexChanged.connect(self._validate)
        self.known.currentIndexChanged.connect(self._fill)
        for edit in (self.ae_title, self.host, self.calling):
            edit.textChanged.connect(self._change)
        self.port.valueChanged.connect(self._change)
        self.confirm.toggled.connect(self._validate)
        self.verify_button.clicked.connect(self._verify)
        buttons.accepted.connect(self._send)
        buttons.rejected.connect(self.reject)
        self._fill()
        # A new PACS is typed in; for one that is known nothing is left but to look and to press Send.
        (self.send_button if destinations else self.ae_title).setFocus()

    def show_answer(self, destination: Destination, problem: str) -> None:
        """Say what came of Verify, unless another destination stands in the form by now."""
        if self._asked is None or destination != self._asked:
            return
        self._asked = None
        self.verify_button.setEnabled(True)
        theme.dress(self.answer, colour="error" if problem else "good")
        self._say(sentence(problem) if problem else f"{destination} answers.")

    # ---------------------------------------------------------------- construction

    def _describe(self) -> None:
        describe(
            (self.result_choice, "Result", "Which result of this session is sent"),
            (self.known, "PACS", "A PACS that was used before, or another one"),
            (self.ae_title, "AE title", "What the PACS calls itself: up to 16 characters, capitals as a rule"),
            (self.host, "Host", "Name or address of the computer that the PACS runs on"),
            (self.port, "Port", "Where the PACS listens; 104 and 11112 are usual"),
            (self.calling, "Own AE title", "What this program calls itself; many PACS must know it beforehand"),
            (self.verify_button, "Verify", "Ask whether the PACS answers; neither images nor names are sent"),
            (
                self.confirm,
                "Send to this host",
                "Images leave this computer. It is asked once for each host, and the answer is remembered",
            ),
        )

    def _lay_out(self, buttons: QDialogButtonBox) -> None:
        verify = QHBoxLayout()
        verify.setSpacing(theme.MARGIN)
        verify.addWidget(self.verify_button)
        verify.addWidget(self.answer, 1)
        place = QHBoxLayout()
        place.setSpacing(theme.MARGIN)
        place.addWidget(self.host, 1)
        place.addWidget(QLabel("Port"))
        place.addWidget(self.port)
        form = QFormLayout()
        form.setHorizontalSpacing(theme.MARGIN)
        form.setVerticalSpacing(theme.MARGIN)
        form.addRow("Result", self.result_choice)
        form.addRow("PACS", self.known)
        form.addRow("AE title", self.ae_title)
        form.addRow("Host", place)
        form.addRow("Own AE title", self.calling)
        form.addRow("", verify)
        form.addRow("", self.confirm)
        form.setRowVisible(self.known, self.known.count() > 1)
        # The form keeps its height when the question is answered already.
        policy = self.confirm.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.confirm.setSizePolicy(policy)
        self._say("")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(*[2 * theme.MARGIN] * 4)
        layout.setSpacing(theme.MARGIN)
        layout.addLayout(form)
        layout.addWidget(self.note)
        layout.addWidget(self.problem)
        layout.addWidget(buttons)
        self.setMinimumWidth(600)

    # ---------------------------------------------------------------- what is typed

    def _fill(self) -> None:
        destination = self.known.currentData()
        self.ae_title.setText("" if destination is None else destination.ae_title)
        self.host.setText("" if destination is None else destination.host)
        self.port.setValue(_USUAL_PORT if destination is None else destination.port)
        self._change()

    def _change(self) -> None:
        self._asked = None
        self._say("")
        # The tick was for the host that stood here.
        self.confirm.setChecked(False)
        self._validate()

    def _destination(self) -> Destination:
        """What stands in the form; raises RequestError where it is impossible."""
        return Destination(self.ae_title.text(), self.host.text(), self.port.value())

    def _missing(self) -> str:
        """What is still to be typed or ticked before anything can be sent."""
        for edit, name in (
            (self.ae_title, "AE title of the PACS"),
            (self.host, "host of the PACS"),
            (self.calling, "own AE title"),
        ):
            if not edit.text().strip():
                return f"Give the {name}."
        return ""

    def _validate(self) -> None:
        missing, problem, host = self._missing(), "", ""
        if not missing:
            try:
                checked_ae_title(self.calling.text())
                host = self._destination().host
            except RequestError as error:
                problem = sentence(str(error))
        needs_tick = bool(host) and not self._is_confirmed(host)
        self.confirm.setText(f"Send to {host}")
        self.confirm.setVisible(needs_tick)
        if needs_tick and not self.confirm.isChecked():
            missing = f"Nothing was ever sent to {host}: tick “Send to {host}” if it is the right one."
        self.problem.setText(problem or missing)
        theme.dress(self.problem, colour="error" if problem else "")
        self.verify_button.setEnabled(bool(host) and self._asked is None)
        self.send_button.setEnabled(not (missing or problem) and self.result_choice.count() > 0)
        self._note()

    def _note(self) -> None:
        result = self.result_choice.currentData()
        if result is None:
            self.note.setText("There is no finished result to send.")
            return
        images = count(len(result.finished), "image")
        self.note.setText(
            f"{images} of {result.series.title} will be sent, marked for research use only. "
            f"{said_of_the_patient(kind_of(result), {'dicom'})}"
        )

    # ---------------------------------------------------------------- what is pressed

    def _verify(self) -> None:
        self._asked = self._destination()
        self.verify_button.setEnabled(False)
        theme.dress(self.answer, colour="")
        self._say(f"Asking {self._asked} …")
        self.verify_wanted.emit(self._asked, checked_ae_title(self.calling.text()))

    def _say(self, answer: str) -> None:
        self.answer.setText(answer)
        # Two lines are kept free for the answer, which then moves nothing; one with a long host gets what it needs.
        free = 2 * self.answer.fontMetrics().lineSpacing()
        needed = self.answer.heightForWidth(self.answer.width())
        self.answer.setMinimumHeight(max(free, needed))
        layout = self.layout()
        if layout is not None and needed > free:
            # A dialog grows by itself to the least height of its parts, which for texts is that of one line.
            layout.activate()
            self.resize(self.width(), max(self.height(), layout.totalHeightForWidth(self.width())))

    def _send(self) -> None:
        destination, calling = self._destination(), checked_ae_title(self.calling.text())
        self.send_wanted.emit(destination, calling, self.result_choice.currentData())
        self.accept()
