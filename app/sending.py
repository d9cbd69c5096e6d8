"""Sends results to a PACS in a thread, and tells the user what became of them."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from app.job import Clock, Worker
from app.output import count
from recon import interruption
from recon.errors import RequestError
from recon.export import pacs
from recon.export.pacs import Destination, Report

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.results import Result
    from app.session import Session
    from recon.result import Reconstruction

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
        self.destination: Destination | None = None

    @property
    def is_running(self) -> bool:
        """True while a result is being sent."""
        return self.destination is not None

    @property
    def destinations(self) -> list[Destination]:
        """Those that were used before, the last one first."""
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
            True where the user has just confirmed the host by its name, which is remembered.

        Returns
        -------
        started
            False when something stands in the way; a message says what.
        """
        session = self._session
        result = session.result if result is None else result
        reconstruction = None if result is None else result.reconstruction
        problem = ""
        try:
            where = Destination.from_text(destination) if isinstance(destination, str) else destination
            own = pacs.checked_ae_title(session.settings.pacs_calling if calling is None else calling)
        except RequestError as error:
            session.report(error, "", "sending")
            return False
        if self.is_running:
            problem = "Images are being sent already; wait until they are, or cancel."
        elif reconstruction is None:
            problem = "There is no finished result to send; reconstruct a slice first."
        elif not (is_confirmed or self.is_confirmed(where.host)):
            problem = f"Nothing was sent: {where.host} was never confirmed. Tick “Send to {where.host}” first."
        if problem or reconstruction is None:
            session.say("warning", problem)
            return False
        self._remember(where, own, is_confirmed=True)
        self._is_cancelled.clear()
        self.destination = where
        self.changed.emit()
        session.say("info", f"Sending to {where} …")
        work = partial(_send, reconstruction, where, own, self._is_cancelled.is_set, self.progressed.emit)
        self._sender.submit("send", work, self._finish, self._fail)
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

    def _remember(self, destination: Destination, calling: str, *, is_confirmed: bool) -> None:
        settings = self._session.settings
        others = [text for text in settings.pacs_destinations if text != str(destination)]
        host = destination.host.casefold()
        is_new = is_confirmed and host not in settings.pacs_confirmed
        self._session.change_settings(
            pacs_destinations=(str(destination), *others)[:N_REMEMBERED],
            pacs_confirmed=(*settings.pacs_confirmed, host) if is_new else settings.pacs_confirmed,
            pacs_calling=calling,
        )

    def _take_answer(self, destination: Destination, calling: str, answers: bool) -> None:
        if answers:
            self._remember(destination, calling, is_confirmed=False)
            self.verified.emit(destination, "")

    def _finish(self, outcome: Outcome) -> None:
        self.destination = None
        self._session.say(*message_of(outcome))
        self.changed.emit()
        self.ended.emit(outcome)

    def _fail(self, error: BaseException, details: str) -> None:
        self.destination = None
        self._session.report(error, details, "sending")
        self.changed.emit()
        self.ended.emit(None)


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
    with TemporaryDirectory(prefix="mri-workstation-") as folder, interruption.watching(is_asked):
        try:
            show(0, n_images, None)
            reconstruction.save(Path(folder), ["dicom"])
            found = instances.find([Path(folder)]).instances
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


def message_of(outcome: Outcome) -> tuple[str, str, str]:
    """Return what the user is told: level, text, and a line for each image that is not stored cleanly."""
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
        return "info", f"Cancelled. {stored} of {images} {_were(stored)} stored at {where}.", details
    if failed:
        return "error", f"{failed} of {images} {_were(failed)} not stored at {where}{why}{more}.", details
    if unclean:
        return "warning", f"Sent to {where}: {images} stored, {len(unclean)} with a warning{why}{more}.", details
    return "success", f"Sent to {where}: {images} stored.", ""


def _were(number: int) -> str:
    return "was" if number == 1 else "were"
