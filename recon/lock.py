"""A folder that one run at a time writes into. The lock goes with the process that holds it, however that ends.

A process that this one forks, such as one that loads data, does not hold it: it may outlive a kill for seconds.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from recon.errors import RequestError
from recon.export.atomic import describe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_held: set[int] = set()
"""Descriptors of the locks of this process."""


def _let_go() -> None:
    for descriptor in _held:
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_let_go)


@contextmanager
def locked(path: Path, doing: str) -> Iterator[None]:
    """Hold a lock file, which says who holds it, and remove it at the end.

    Parameters
    ----------
    path
        The file; its folder is made. One that a killed process left behind is taken over.
    doing
        What is done with the folder, such as ``evaluate``.

    Raises
    ------
    RequestError
        If another process holds it.
    ExportError
        If the disk or the folder does not let it be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _open(path, doing)
    except OSError as error:
        raise describe(path, error) from error
    _held.add(descriptor)
    try:
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "doing": doing}
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(owner).encode(), 0)
        yield
    finally:
        if descriptor in _held:  # not in a process that was forked meanwhile
            path.unlink(missing_ok=True)
            _held.discard(descriptor)
            os.close(descriptor)


def is_abandoned(path: Path) -> bool:
    """Tell whether a lock file is of a process that was killed; where that cannot be told, it is not.

    Parameters
    ----------
    path
        The file, see `locked`.
    """
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.fstat(descriptor).st_size > 0  # an empty one was just made, and is about to be held
    except OSError:  # it is held, or the file system has no locks
        return False
    finally:
        os.close(descriptor)


def _open(path: Path, doing: str) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it may have removed the file meanwhile: the lock of a file without a name locks nobody out.
            if path.exists() and os.fstat(descriptor).st_ino == path.stat().st_ino:
                return descriptor
        except BlockingIOError:
            holder = _holder(os.pread(descriptor, 4096, 0))
            os.close(descriptor)
            raise RequestError(
                f"{path.parent} is in use: {holder} writes into it ({path.name} says so); wait until it is done, or "
                f"{doing} into another folder with --out."
            ) from None
        except OSError:
            return descriptor  # a file system without locks; there, nobody can be told
        os.close(descriptor)


def _holder(text: bytes) -> str:
    try:
        owner = json.loads(text)
        return f"process {owner['pid']} on {owner['host']}"
    except (ValueError, KeyError, TypeError):  # it is just being written
        return "another process"
