"""Sends results to a PACS in a thread, and tells the user what became of them."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from app.job import Clock, Worker
from app.messages import Message, explain, sentence
from app.output import count
from app.sending_folder import EndGuard, folder_of_its_own
from recon import interruption
from recon.errors import NetworkError, RequestError
from recon.export import pacs
from recon.export.pacs import Destination, Report

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.results import Result
    from app.session import Session
    from recon.result import Reconstruction

log = logging.getLogger(__name__)

N_REMEMBERED = 8
"""Destinations that the dialog offers again."""


@dataclass(frozen=True)
class Outcome:
    """What became of a result.

    Attributes
    ----------
    destination
        Where it was sent.
    reports
        One for each image that was tried.
    n_images
        How many there were to send.
    """

    destination: Destination
    reports: tuple[Report, ...]
    n_images: int

    @property
    def is_cancelled(self) -> bool:
        """Whether the user stopped it."""
        return len(self.reports) < self.n_images

    @property
    def was_answered(self) -> bool:
        """Whether there is a PACS that took or refused at least one image."""
        return any(report.state != "not sent" for report in self.reports)


class Sending(QObject):
    """Sends one result at a time, to hosts that the user has confirmed by name.

    Parameters
    ----------
    session
        Whose results, who keeps the settings, and who tells the user.

    Attributes
    ----------
    destination
        Where a result is being sent; None while nothing is.

    Signals
    -------
    changed
        Sending begins or ends.
    progressed
        Images that were answered, how many there are, and seconds that are left or None.
    ended
        The `Outcome`; None where it failed altogether.
    verified
        A destination, and why it does not answer; empty where it does.
    """

    changed = Signal()
    progressed = Signal(int, int, object)
    ended = Signal(object)
    verified = Signal(object, str)

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        # A PACS that does not answer must hold up neither exports nor the question whether another one does.
        self._sender, self._asker = Worker(self), Worker(self)
        self._is_cancelled, self._is_closing = threading.Event(), threading.Event()
        self._guard = EndGuard(self.stop)
        self.destination: Destination | None = None

    @property
    def is_running(self) -> bool:
        """True while a result is being sent."""
        return self.destination is not None

    @property
    def destinations(self) -> list[Destination]:
        """Those that answered before, the last one first."""
        found = []
        for text in self._session.settings.pacs_destinations:
            try:
                found.append(Destination.from_text(text))
            except RequestError:  # the settings are a file that anybody may edit
                continue
        return found

    def is_confirmed(self, host: str) -> bool:
        """Whether the user has said once that images may go to a host."""
        return host.casefold() in self._session.settings.pacs_confirmed

    def send(
        self,
        destination: Destination | str,
        *,
        calling: str | None = None,
        result: Result | None = None,
        is_confirmed: bool = False,
    ) -> bool:
        """Send a result as DICOM; `ended` brings what became of it.

        Parameters
        ----------
        destination
            The PACS, also as ``AET@HOST:PORT``.
        calling
            AE title of this program; None takes that of the settings.
        result
            The result; None takes the current one.
        is_confirmed
            True where the user has just confirmed the host by its name. That is remembered at once; the destination is
            once the PACS has answered.

        Returns
        -------
        started
            False when something stands in the way; a message says what.
        """
        session = self._session
        result = session.result if result is None else result
        reconstruction = None if result is None else result.reconstruction
        problem, logged = "", ""
        try:
            where = Destination.from_text(destination) if isinstance(destination, str) else destination
            own = pacs.checked_ae_title(session.settings.pacs_calling if calling is None else calling)
        except RequestError as error:
            self._tell(Message("error", sentence(str(error))), "Nothing is sent: an address or AE title is impossible.")
            return False
        if self.is_running:
            problem = "Images are being sent already; wait until they are, or cancel."
        elif reconstruction is None:
            problem = "There is no finished result to send; reconstruct a slice first."
        elif not (is_confirmed or self.is_confirmed(where.host)):
            problem = f"Nothing was sent: {where.host} was never confirmed. Tick “Send to {where.host}” first."
            logged = "Nothing was sent: the host was never confirmed."
        if problem or reconstruction is None:
            self._tell(Message("warning", problem), logged or problem)
            return False
        self._confirm(where.host)
        self._is_cancelled.clear()
        self.destination = where
        self._guard.begin()
        self.changed.emit()
        self._tell(Message("info", f"Sending to {where} …"), f"Sending to {where.ae_title} …")
        work = partial(_send, reconstruction, where, own, self._is_cancelled.is_set, self.progressed.emit)
        self._sender.submit("send", work, partial(self._finish, own), self._fail)
        return True

    def cancel(self) -> None:
        """Stop after the present image, or at once where the PACS does not answer; what is stored stays there."""
        self._is_cancelled.set()

    def verify(self, destination: Destination, calling: str) -> None:
        """Ask a PACS whether it answers (C-ECHO); `verified` brings the answer. No image or name is sent."""
        self._asker.discard("verify")
        self._asker.submit(
            "verify",
            partial(_verify, destination, calling, self._is_closing.is_set),
            partial(self._take_answer, destination, calling),
            lambda error, _: self.verified.emit(destination, str(error)),
        )

    def stop(self) -> None:
        """Cancel and end the threads."""
        self._is_cancelled.set()
        self._is_closing.set()
        self._sender.stop()
        self._asker.stop()
        self._guard.end()

    def _confirm(self, host: str) -> None:
        settings = self._session.settings
        if not self.is_confirmed(host):
            self._session.change_settings(pacs_confirmed=(*settings.pacs_confirmed, host.casefold()))

    def _remember(self, destination: Destination, calling: str) -> None:
        others = [text for text in self._session.settings.pacs_destinations if text != str(destination)]
        self._session.change_settings(
            pacs_destinations=(str(destination), *others)[:N_REMEMBERED], pacs_calling=calling
        )

    def _take_answer(self, destination: Destination, calling: str, answers: bool) -> None:
        if answers:
            self._remember(destination, calling)
            self.verified.emit(destination, "")

    def _finish(self, calling: str, outcome: Outcome) -> None:
        if outcome.was_answered:
            self._remember(outcome.destination, calling)
        message = message_of(outcome)
        stored = sum(report.is_stored for report in outcome.reports)
        images = count(outcome.n_images, "image")
        self._end(message, f"{outcome.destination.ae_title}: {stored} of {images} stored", outcome)

    def _fail(self, error: BaseException, details: str) -> None:
        message = explain(error, details, "sending", self._session.request.device)
        # What the network says names the host.
        said = "the PACS cannot be reached, or refuses" if isinstance(error, NetworkError) else message.text
        self._end(message, f"Sending failed: {said}", None)

    def _end(self, message: Message, logged: str, outcome: Outcome | None) -> None:
        self.destination = None
        self._guard.end()
        self._tell(message, logged)
        self.changed.emit()
        self.ended.emit(outcome)

    def _tell(self, message: Message, logged: str) -> None:
        """Tell the user something; the log, which people hand on, gets words that name no host."""
        level = {"error": logging.ERROR, "warning": logging.WARNING}.get(message.level, logging.INFO)
        log.log(level, "%s", logged)
        self._session.message.emit(message)


def _send(
    reconstruction: Reconstruction,
    destination: Destination,
    calling: str,
    is_asked: Callable[[], bool],
    show: Callable[[int, int, Any], None],
) -> Outcome:
    """Write the DICOM files of an export into a folder of their own and send them; runs in a thread."""
    from recon.export.pacs import instances

    reports: list[Report] = []
    n_images = len(reconstruction.indices)
    clock = Clock()
    with folder_of_its_own() as folder, interruption.watching(is_asked):
        try:
            show(0, n_images, None)
            reconstruction.save(folder, ["dicom"])
            found = instances.find([folder]).instances
            n_images = len(found)
            stream = pacs.send(found, destination, calling=calling)
            with closing(stream):  # type: ignore[type-var]
                for report in stream:
                    reports.append(report)
                    show(len(reports), n_images, clock.tick(len(reports) / n_images))
        except interruption.Interrupted:
            pass
    return Outcome(destination, tuple(reports), n_images)


def _verify(destination: Destination, calling: str, is_asked: Callable[[], bool]) -> bool:
    with interruption.watching(is_asked):
        try:
            pacs.echo(destination, calling=calling)
        except interruption.Interrupted:
            return False
    return True


def message_of(outcome: Outcome) -> Message:
    """Return what the user is told; its details have a line for each image that is not stored cleanly."""
    where, reports = outcome.destination, outcome.reports
    stored = sum(report.is_stored for report in reports)
    unclean = [report for report in reports if report.state != "stored"]
    details = "\n".join(f"{report.path.name}: {report.sentence}" for report in unclean)
    images = count(outcome.n_images, "image")
    reasons = Counter(report.sentence for report in unclean if not report.is_stored) or Counter(
        report.sentence for report in unclean
    )
    why = f": {reasons.most_common(1)[0][0]}" if reasons else ""
    more = " (and other reasons)" if len(reasons) > 1 else ""
    failed = outcome.n_images - stored
    if outcome.is_cancelled:
        return Message("info", f"Cancelled. {stored} of {images} {_were(stored)} stored at {where}.", details)
    if failed:
        return Message("error", f"{failed} of {images} {_were(failed)} not stored at {where}{why}{more}.", details)
    if unclean:
        return Message(
            "warning", f"Sent to {where}: {images} stored, {len(unclean)} with a warning{why}{more}.", details
        )
    return Message("success", f"Sent to {where}: {images} stored.")


def _were(number: int) -> str:
    return "was" if number == 1 else "were"
