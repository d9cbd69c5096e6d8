"""Somebody's wish that the work should stop, for a method that waits between two stages.

A stream of stages is cancelled by closing it, which needs a stage to come out. A method that takes long until then asks
here meanwhile. One that has something to show, such as an iterate, yields it as soon as the answer is yes: its consumer
then closes the stream. One that has nothing, such as a network between two coils, calls `check`.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Interrupted(BaseException):
    """The work ends because somebody wished it; no failure, so what catches those lets it through."""


_watched: ContextVar[Callable[[], bool] | None] = ContextVar("interruption", default=None)


@contextmanager
def watching(is_asked: Callable[[], bool]) -> Iterator[None]:
    """Let methods that run inside this block, in this thread, ask whether they should stop.

    Parameters
    ----------
    is_asked
        Answers; whoever sets it looks at the same thing after every stage, closes the stream, and catches
        `Interrupted`.
    """
    token = _watched.set(is_asked)
    try:
        yield
    finally:
        _watched.reset(token)


def is_asked() -> bool:
    """Return True when the work should stop; False where nobody set `watching`."""
    watched = _watched.get()
    return watched is not None and watched()


def check() -> None:
    """End the work where it should stop.

    Raises
    ------
    Interrupted
        Then; whoever set `watching` catches it.
    """
    if is_asked():
        raise Interrupted
