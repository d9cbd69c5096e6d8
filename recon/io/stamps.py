"""The state of a file when it was opened: what was learned of it then holds as long as it has not changed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from recon.errors import FileError

if TYPE_CHECKING:
    from pathlib import Path

Stamp = tuple[int, int]
"""Size of a file, and the time of its last change."""


def of(path: Path, descriptor: int | None = None) -> Stamp:
    """Return the stamp of a file.

    Parameters
    ----------
    path
        The file.
    descriptor
        Of the file, where it is open.

    Raises
    ------
    FileError
        If it is gone.
    """
    try:
        status = path.stat() if descriptor is None else os.fstat(descriptor)
    except OSError as error:
        raise unreadable(path, error) from None
    return status.st_size, status.st_mtime_ns


def check(path: Path, stamp: Stamp, descriptor: int | None = None) -> None:
    """Refuse a file that has another stamp than it had; see `of`.

    Raises
    ------
    FileError
        If it was changed, or is gone.
    """
    if of(path, descriptor) != stamp:
        raise FileError(path, "was changed since it was opened; open it again.")


def unreadable(path: Path, error: OSError) -> FileError:
    """Return what to say of a file that could be read when it was opened."""
    if isinstance(error, FileNotFoundError):
        return FileError(path, "is not there; bring it back, or open the scan where it is now.")
    return FileError(path, f"cannot be read ({error.strerror or error}); check the disk or network share.")
