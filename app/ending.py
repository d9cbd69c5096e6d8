"""What a command does when it is told to end: by ``kill``, by a batch system, or because its terminal was closed."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Ended(KeyboardInterrupt):
    """The program was told to end; unwound like Ctrl-C, so that processes and folders of its own go with it.

    Parameters
    ----------
    number
        The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.number = number


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise `Ended` inside this block; what was ignored, as under nohup, stays so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # Inside another such block the outer one listens.
    unheard = [one for one in _SIGNALS if signal.getsignal(one) is signal.SIG_DFL]

    def end(number: int, frame: Any) -> NoReturn:  # noqa: ARG001  the signature of a handler
        # A closed terminal sends several; a second one must not disturb the tidying up.
        for one in unheard:
            signal.signal(one, signal.SIG_IGN)
        raise Ended(number)

    for one in unheard:
        signal.signal(one, end)
    try:
        yield
    finally:
        for one in unheard:
            signal.signal(one, signal.SIG_DFL)
