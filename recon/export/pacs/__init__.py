"""DICOM over the network: instances go to a PACS by C-STORE, one at a time and as they are, with a report on each."""

from __future__ import annotations

import ipaddress
import re
import time
from collections import deque
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recon import interruption
from recon.errors import NetworkError, RequestError, needs_package
from recon.export.pacs.association import Association, LostError
from recon.export.pacs.words import explain_refusal, explain_status
from recon.values import whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from recon.export.pacs.instances import Instance
    from recon.export.pacs.words import State

OWN_AE_TITLE = "MRIWS"
"""Under which this program calls, unless told otherwise."""
TIMEOUT_S = 30.0
"""How long a PACS may be silent, unless told otherwise."""

_VERIFICATION = "1.2.840.10008.1.1"
_IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"
_MAX_CONTEXTS = 128


@dataclass(frozen=True)
class Destination:
    """A PACS, or whoever else stores DICOM.

    Attributes
    ----------
    ae_title
        What it calls itself: 1 to 16 characters.
    host
        Its name or address.
    port
        Where it listens.

    Raises
    ------
    RequestError
        If one of them is impossible.
    """

    ae_title: str
    host: str
    port: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "ae_title", checked_ae_title(self.ae_title))
        object.__setattr__(self, "host", _checked_host(self.host))
        object.__setattr__(self, "port", whole(self.port, "the port"))
        if not 1 <= self.port <= 65535:
            raise RequestError("the port must lie between 1 and 65535; 104 and 11112 are usual.")

    @classmethod
    def from_text(cls, text: str) -> Destination:
        """Read ``AET@HOST:PORT``; an IPv6 address stands in brackets, as in ``PACS@[::1]:104``.

        Raises
        ------
        RequestError
            If it is something else.
        """
        ae_title, at, place = text.strip().rpartition("@") if isinstance(text, str) else ("", "", "")
        host, _, port = place.rpartition(":")
        if not at or not re.fullmatch(r"[0-9]{1,5}", port) or (":" in host and not re.fullmatch(r"\[.+\]", host)):
            raise RequestError(
                f"{_shown(text)} is no destination; write AET@HOST:PORT, such as PACS@192.168.1.10:104 or "
                "PACS@[::1]:104."
            )
        return cls(ae_title, host.removeprefix("[").removesuffix("]"), int(port))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.ae_title}@{host}:{self.port}"


def checked_ae_title(text: str) -> str:
    """Return an AE title without the blanks around it, which do not count.

    Raises
    ------
    RequestError
        If it is none.
    """
    title = text.strip(" ") if isinstance(text, str) else ""
    if not re.fullmatch(r"[\x20-\x5b\x5d-\x7e]{1,16}", title):
        raise RequestError(
            f"{_shown(text)} is no AE title; it has 1 to 16 letters, digits and signs, and no backslash."
        )
    return title


def _shown(value: object) -> str:
    if not isinstance(value, str):
        return f"a value of type {type(value).__name__}"
    return repr(value if len(value) <= 80 else f"{value[:79]}…")


def _checked_host(text: str) -> str:
    host = text.strip() if isinstance(text, str) else ""
    if ":" in host:
        # What stands behind % is the name of a network interface, which Python takes as it comes.
        with suppress(ValueError):
            ipaddress.IPv6Address(host if re.fullmatch(r"[^%]+(%[\w.-]+)?", host) else "")
            return host
    elif re.fullmatch(r"[\w.-]{1,253}", host) and not host.startswith(("-", ".")):
        return host
    raise RequestError(f"{_shown(text)} is no host; give a name such as pacs.hospital.org, or an address.")


@dataclass(frozen=True)
class Report:
    """What became of an instance.

    Attributes
    ----------
    path, sop_instance_uid
        Which.
    state
        ``stored``, ``stored with a warning``, ``refused`` or ``not sent``.
    status
        DICOM status of the answer; None where there was none.
    comment
        Why, for a reader; empty for what is stored.
    """

    path: Path
    sop_instance_uid: str
    state: State
    status: int | None = None
    comment: str = ""

    @property
    def is_stored(self) -> bool:
        """True where the PACS has it, with or without a warning."""
        return self.state in ("stored", "stored with a warning")

    @property
    def sentence(self) -> str:
        """Such as ``refused (0xA700): its storage is full``."""
        status = f" (0x{self.status:04X})" if self.status else ""
        return f"{self.state}{status}" + (f": {self.comment}" if self.comment else "")


@needs_package()
def echo(destination: Destination, *, calling: str = OWN_AE_TITLE, timeout_s: float = TIMEOUT_S) -> float:
    """Ask a PACS whether it is there and talks to this program (C-ECHO); nothing else is sent.

    Parameters
    ----------
    destination
        Whom to ask.
    calling
        AE title of this program.
    timeout_s
        Seconds without an answer after which it is given up.

    Returns
    -------
    Seconds from the call to the answer.

    Raises
    ------
    NetworkError
        If it cannot be reached, does not answer or refuses, with what to do.
    RequestError
        If the AE title of this program is impossible.
    MissingPackageError
        If pynetdicom is not installed.
    """
    start = time.monotonic()
    context = (_VERIFICATION, _IMPLICIT_LITTLE_ENDIAN)
    with closing(Association(destination, checked_ae_title(calling), [context], timeout_s)) as association:
        if context in association.refused:
            raise NetworkError(f"{destination} answers, but takes no C-ECHO; it may take images all the same.")
        try:
            status = association.echo()
        except LostError as loss:
            interruption.check()
            raise NetworkError(f"{destination}: {loss}; try again.") from None
    if status:
        raise NetworkError(f"{destination} answers with the status 0x{status:04X}; ask its administrator.")
    return time.monotonic() - start


@needs_package()
def send(
    instances: Iterable[Instance],
    destination: Destination,
    *,
    calling: str = OWN_AE_TITLE,
    timeout_s: float = TIMEOUT_S,
) -> Iterator[Report]:
    """Send instances and yield what became of each, as soon as it is known.

    Files are sent byte for byte, each in the transfer syntax that it has. An association that is lost is asked for once
    more; what is left when that does not help is reported as not sent.

    Parameters
    ----------
    instances
        What `recon.export.pacs.instances.find` found.
    destination
        Where they go.
    calling
        AE title of this program.
    timeout_s
        Seconds of silence after which an answer, or a connection, is given up.

    Raises
    ------
    NetworkError
        If the destination cannot be reached, does not answer or refuses to talk from the start, with what to do.
    RequestError
        If the AE title of this program is impossible.
    Interrupted
        If somebody asked for the end, see `recon.interruption`; what was yielded before is true.
    MissingPackageError
        If pynetdicom is not installed.
    """
    import pynetdicom  # noqa: F401  what is missing is said before the first file is read

    return _reports(list(instances), destination, checked_ae_title(calling), timeout_s)


def _reports(waiting: list[Instance], destination: Destination, calling: str, timeout_s: float) -> Iterator[Report]:
    has_talked, former_loss = False, ""
    while waiting:
        interruption.check()
        contexts = _contexts(waiting)
        try:
            association = Association(destination, calling, contexts, timeout_s)
        except NetworkError as error:
            if not has_talked:
                raise
            yield from _give_up(waiting, f"{former_loss}; then {error}" if former_loss else str(error))
            return
        has_talked, loss = True, ""
        batch = deque(one for one in waiting if _context(one) in contexts)
        later = [one for one in waiting if _context(one) not in contexts]
        with closing(association):
            while batch and not loss:
                interruption.check()
                try:
                    report = _store(association, batch[0])
                except LostError as error:
                    loss = str(error)
                else:
                    batch.popleft()
                    yield report
        waiting = [*batch, *later]
        interruption.check()
        if loss and former_loss:
            yield from _give_up(waiting, f"{loss}, also after a second attempt")
            return
        former_loss = loss or former_loss


def _store(association: Association, instance: Instance) -> Report:
    """Send one instance; raises LostError where the association ends over it."""
    refusal = association.refused.get(_context(instance))
    if refusal is not None:
        why = explain_refusal(*_context(instance), refusal)
        return Report(instance.path, instance.sop_instance_uid, "refused", comment=why)
    try:
        if instance.path.stat().st_size != instance.n_bytes:
            raise ValueError("its length is another one")
        status, comment = association.store(instance)
    except (OSError, ValueError, AttributeError) as error:
        return _not_sent(instance, f"it changed or went since it was found ({error})")
    state, words = explain_status(status, comment)
    return Report(instance.path, instance.sop_instance_uid, state, status, words)


def _give_up(instances: Iterable[Instance], why: str) -> Iterator[Report]:
    return (_not_sent(one, why) for one in instances)


def _context(instance: Instance) -> tuple[str, str]:
    return instance.sop_class_uid, instance.transfer_syntax_uid


def _contexts(instances: Sequence[Instance]) -> list[tuple[str, str]]:
    """What an association offers: no more than the files need, and as much as it can hold."""
    return list(dict.fromkeys(map(_context, instances)))[:_MAX_CONTEXTS]


def _not_sent(instance: Instance, why: str) -> Report:
    return Report(instance.path, instance.sop_instance_uid, "not sent", comment=why)
