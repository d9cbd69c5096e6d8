"""A DICOM association with a PACS, from its request to its end, on pynetdicom.

Every wait has an end: for a connection, for an answer, and for a peer that takes no more bytes. Whoever set
`recon.interruption.watching` ends any of them within a moment, since then the connection is cut.
"""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from contextlib import suppress
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

from recon import __version__, interruption
from recon.errors import NetworkError
from recon.export.dicom_values import uid
from recon.export.pacs.words import explain_rejection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pydicom.dataset import Dataset
    from pynetdicom.association import Association as Peer
    from pynetdicom.events import Event

    from recon.export.pacs import Destination
    from recon.export.pacs.instances import Instance

_CONNECTING_S = 10.0
_PARTING_S = 2.0
_LOOK_S = 0.1
# An answer may take as long as a slow line takes for the bytes, and then as long as the peer may be silent.
_SLOWEST_BYTES_PER_S = 50_000
_REJECTED = (1, 2)


class LostError(Exception):
    """The association is over, before its time; the text says how it came."""


class Association:
    """An association that was accepted.

    Parameters
    ----------
    destination
        Whom to call.
    calling
        AE title of this program.
    contexts
        SOP class and transfer syntax of everything that will be sent, 128 pairs at most.
    timeout_s
        Seconds of silence after which it is given up.

    Attributes
    ----------
    refused
        Contexts that the peer does not take, with the result that it gave for each.

    Raises
    ------
    NetworkError
        If there is no association, with the reason and what to do.
    Interrupted
        If somebody asked for the end meanwhile.
    """

    def __init__(
        self, destination: Destination, calling: str, contexts: Sequence[tuple[str, str]], timeout_s: float
    ) -> None:
        _prepare()
        self._timeout_s = timeout_s
        self._is_connected = False
        self._is_idle = True
        self._n_asked = 0
        self._socket: socket.socket | None = None
        self._is_over = threading.Event()
        threading.Thread(target=self._watch, args=(copy_context(),), daemon=True).start()
        try:
            self._association = self._request(destination, calling, contexts)
            self.refused = {
                (str(one.abstract_syntax), str(one.transfer_syntax[0])): one.result or 0
                for one in self._association.rejected_contexts
            }
            # Where nothing at all is taken the association ends at once, and the reason is one of each context.
            if not self._association.is_established and not self.refused:
                interruption.check()
                raise NetworkError(self._explain(destination, calling))
        except BaseException:
            self._is_over.set()
            self._close_socket()
            raise

    # ---------------------------------------------------------------- what is asked

    def echo(self) -> int:
        """Return the status of a C-ECHO; raises LostError."""
        return int(self._ask(lambda: self._association.send_c_echo(self._n_asked), 0).Status)

    def store(self, instance: Instance) -> tuple[int, str]:
        """Send an instance, and return the status and what the peer says of it.

        Raises
        ------
        LostError
            If the association ends before there is an answer; what became of the instance is unknown then.
        OSError, ValueError, AttributeError
            If the file is not what it was.
        """
        answer = self._ask(lambda: self._send(instance), instance.n_bytes / _SLOWEST_BYTES_PER_S)
        return int(answer.Status), str(answer.get("ErrorComment", ""))

    def _send(self, instance: Instance) -> Dataset:
        from pydicom import dcmread

        # A file is sent as it lies on the disk; pynetdicom then takes its identity from the file header.
        source = instance.path if instance.is_consistent else dcmread(instance.path)
        answer: Dataset = self._association.send_c_store(source, self._n_asked)
        return answer

    def _ask(self, question: Callable[[], Dataset], more_s: float) -> Dataset:
        if not self._association.is_established:
            raise LostError("the PACS broke off the association")
        self._n_asked = self._n_asked % 65535 + 1
        self._association.dimse_timeout = self._timeout_s + more_s
        start, self._is_idle = time.monotonic(), False
        try:
            answer = question()
        except RuntimeError:
            raise LostError("the PACS broke off the association") from None
        except (OSError, ValueError, AttributeError):
            self._is_idle = True
            raise
        if "Status" not in answer:
            seconds = time.monotonic() - start
            if seconds >= self._timeout_s + more_s:
                raise LostError(f"the PACS gave no answer for {seconds:.0f} seconds")
            raise LostError("the PACS broke off the association")
        self._is_idle = True
        return answer

    def close(self) -> None:
        """End it: politely between two questions, at once in the middle of one."""
        self._is_over.set()
        association = self._association
        if association.is_established and self._is_idle:
            association.acse_timeout = _PARTING_S
            association.release()
        elif association.is_established:
            association.abort(block=False)
        association.dul.join(_PARTING_S)
        if association.dul.is_alive():
            # It hangs in a peer that takes no more bytes.
            self._cut()
            association.dul.join(_PARTING_S)
        if not association.dul.is_alive():
            association.kill()
        self._close_socket()

    # ---------------------------------------------------------------- how it comes about

    def _request(self, destination: Destination, calling: str, contexts: Sequence[tuple[str, str]]) -> Peer:
        from pynetdicom import AE, build_context, evt

        entity = AE(calling)
        entity.implementation_class_uid = uid("mri-workstation")
        entity.implementation_version_name = f"MRIWS_{__version__}"[:16]
        entity.connection_timeout = min(_CONNECTING_S, self._timeout_s)
        entity.acse_timeout = entity.dimse_timeout = self._timeout_s
        # Between two instances the line may be as quiet as whoever reads the reports is slow.
        entity.network_timeout = None
        handlers: list[Any] = [
            (evt.EVT_ACSE_SENT, self._meet),
            (evt.EVT_CONN_OPEN, self._connect),
            (evt.EVT_DATA_SENT, self._hurry),
        ]
        self._address = _resolve(destination, self._timeout_s)
        self._start = time.monotonic()
        try:
            return entity.associate(
                self._address,
                destination.port,
                [build_context(*one) for one in contexts],
                destination.ae_title,
                evt_handlers=handlers,
            )
        except OSError as error:
            raise NetworkError(
                f"{destination} cannot be reached ({error.strerror or error}); check the host and the network."
            ) from None

    def _meet(self, event: Event) -> None:
        line = event.assoc.dul.socket
        self._socket = self._socket or (None if line is None else line.socket)

    def _connect(self, _event: Event) -> None:
        """The connection is open: from now on no byte may take longer than an answer."""
        self._is_connected = True
        if self._socket is not None:
            self._socket.settimeout(self._timeout_s)
            # The end of an instance must not wait until its beginning is acknowledged.
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _hurry(self, _event: Event) -> None:
        """Acknowledge what comes next at once: peers that answer in two parts wait 40 ms for it after each instance."""
        if sys.platform == "linux" and self._socket is not None:
            with suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _watch(self, context: Context) -> None:
        """Cut the connection once somebody asks for the end: no call of pynetdicom returns before it is answered."""
        while not self._is_over.wait(_LOOK_S):
            if context.run(interruption.is_asked):
                self._cut()

    def _cut(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _close_socket(self) -> None:
        # pynetdicom forgets to where there was no connection.
        if self._socket is not None:
            self._socket.close()

    def _explain(self, destination: Destination, calling: str) -> str:
        """Why there is no association."""
        seconds = time.monotonic() - self._start
        answer = self._association.acceptor.primitive
        if not self._is_connected:
            return _unreachable(destination, self._address, min(_CONNECTING_S, self._timeout_s), seconds)
        if self._association.is_rejected and answer is not None and answer.result in _REJECTED:
            return explain_rejection(
                destination, calling, answer.result_source or 0, answer.diagnostic or 0, answer.reason_str
            )
        if seconds >= self._timeout_s:
            return (
                f"{destination} takes the connection but gives no answer for {seconds:.0f} seconds; "
                f"check that a DICOM service listens on port {destination.port}."
            )
        return (
            f"{destination} breaks off instead of answering; check that a DICOM service without TLS listens on port "
            f"{destination.port}, and that it lets this computer in."
        )


def _resolve(destination: Destination, limit_s: float) -> str:
    """Return the address of a host, the first of IPv4 where there is one.

    A look-up cannot be cut short, so it has a thread of its own, which is left alone once nobody waits any more.
    """
    host, is_over = destination.host, threading.Event()
    found: list[str] = []

    def look_up() -> None:
        # A name that the rules of the internet do not allow is a ValueError.
        with suppress(OSError, ValueError):
            entries = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            entries.sort(key=lambda entry: entry[0] != socket.AF_INET)
            found.extend(str(entry[4][0]) for entry in entries)
        is_over.set()

    end = time.monotonic() + limit_s
    threading.Thread(target=look_up, daemon=True).start()
    while not is_over.wait(_LOOK_S):
        interruption.check()
        if time.monotonic() >= end:
            raise NetworkError(
                f"{destination}: the name {host} is not found within {limit_s:g} seconds; check the network, or give "
                "the address."
            )
    interruption.check()
    if not found:
        raise NetworkError(f"{destination}: there is no computer called {host}; check the name, or give its address.")
    return found[0]


def _unreachable(destination: Destination, address: str, limit_s: float, seconds: float) -> str:
    """Why there is no connection; pynetdicom does not hand the reason on, so it is asked for once more."""
    host, port = destination.host, destination.port
    if seconds < limit_s:
        try:
            socket.create_connection((address, port), limit_s).close()
        except ConnectionRefusedError:
            return f"{destination}: nothing listens on port {port} of {host}; check the port, and that the PACS runs."
        except TimeoutError:
            pass
        except OSError as error:
            return f"{destination} cannot be reached ({error.strerror or error}); check the host and the network."
        else:
            return f"{destination} did not take the connection at first; try again."
    return f"{destination} does not answer within {limit_s:g} seconds; check the host, and the firewalls on the way."


def _prepare() -> None:
    """Set what pynetdicom keeps for all associations of a process."""
    from pynetdicom import _config

    # What goes wrong comes as an answer, an exception or the end of the association, and is said in our own words.
    logging.getLogger("pynetdicom").propagate = False
    # Data sets go from the file to the line as they are.
    _config.STORE_SEND_CHUNKED_DATASET = True
