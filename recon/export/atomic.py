"""Files and folders that appear whole or not at all.

Everything is written under a temporary name beside its destination and renamed when it is complete, so that a crash,
a full disk or an impatient user leaves what was there before. What a killed process could not take away goes when its
destination is next written.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import socket
import time
import uuid
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from recon.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Iterator

# What file managers leave behind in any folder; it is nobody's work.
_LITTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
# Nobody writes for so long without a change to the file.
_STALE_SECONDS = 24 * 3600.0

_SENTENCES = {
    errno.ENOSPC: "the disk is full; free some space or choose another folder",
    errno.EDQUOT: "your disk quota is used up; free some space or choose another folder",
    errno.EACCES: "there is no permission to write there; choose a folder of your own",
    errno.EPERM: "there is no permission to write there; choose a folder of your own",
    errno.EROFS: "the disk is read-only; choose a folder elsewhere",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another folder",
    errno.EISDIR: "a folder of that name is in the way; choose another name",
    errno.EEXIST: "a file of that name is in the way; choose another name",
    errno.ENOTEMPTY: "the folder was filled by someone else meanwhile; choose another name",
    errno.ENAMETOOLONG: "the name is too long for the disk; choose a shorter one",
    errno.EFBIG: "the file is too large for the disk's file system; choose another disk",
    errno.EIO: "the disk reports an error; choose another one",
}


def describe(path: Path | str, error: BaseException) -> ExportError:
    """Turn a failure to write into a sentence for the reader.

    Parameters
    ----------
    path
        What was to be written.
    error
        What the system, or a library that hides the system's error in its own, said.
    """
    number = _errno(error) or 0
    words = os.strerror(number) if number else str(error)
    sentence = _SENTENCES.get(number, f"the system says: {words}; choose another folder")
    return ExportError(f"{path}: could not be written: {sentence}.")


def is_full(error: BaseException) -> bool:
    """Tell whether an error of `describe` is of a disk on which nothing more has room."""
    return error.__cause__ is not None and _errno(error.__cause__) in (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; move it to ``path`` when the block ends well.

    Folders on the way are made. The temporary path does not exist yet and ends as ``path`` does, so that writers who
    go by the suffix are content.

    Parameters
    ----------
    path
        File to write; an older one stays until the new one is complete.

    Raises
    ------
    ExportError
        If the disk or the folder does not let it be written.
    """
    path = _real(path)
    temporary = path.with_name(_temporary_name(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder", str(path))
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        _sweep(path)
    except OSError as error:
        raise describe(path, error) from error
    except RuntimeError as error:
        # HDF5 reports a full disk at closing time as a RuntimeError with the number in its text.
        if _errno(error) is None:
            raise
        raise describe(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path, replaces: str = "*") -> Iterator[Path]:
    """Give a temporary folder beside ``path``; when the block ends well it becomes ``path``, as a whole.

    An older folder stays until the new one is complete, and is replaced only when nothing but former output is in it:
    a user who points at a folder of other files keeps them.

    Parameters
    ----------
    path
        Folder to write.
    replaces
        Pattern of the file names that an older folder may hold to be replaced.

    Raises
    ------
    ExportError
        If the disk or the folder does not let it be written, or other files are in it.
    """
    path = _real(path)
    temporary = path.with_name(_temporary_name(path))
    former = temporary.with_name(temporary.name + ".former")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _check_replaceable(path, replaces)
        temporary.mkdir()
        yield temporary
        _check_replaceable(path, replaces)  # it may have been filled meanwhile
        if path.exists():
            path.replace(former)
        try:
            temporary.replace(path)
        except OSError:
            if former.exists():
                former.replace(path)
            raise
        _sweep(path)
    except OSError as error:
        raise describe(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if path.exists():
            shutil.rmtree(former, ignore_errors=True)


def _check_replaceable(path: Path, replaces: str) -> None:
    if not path.exists():
        return
    if not path.is_dir():
        raise NotADirectoryError(errno.EEXIST, "is a file", str(path))
    for entry in path.iterdir():
        if entry.name not in _LITTER and not (entry.is_file() and fnmatch(entry.name, replaces)):
            raise ExportError(
                f"{path}: the folder holds {entry.name}, which is not a former result; it is left as it is. "
                "Choose a new or an empty folder."
            )


def _real(path: Path) -> Path:
    # The rename must replace what a link points at, not the link.
    try:
        return Path(os.path.realpath(path))
    except ValueError as error:  # a null byte
        raise describe(repr(str(path)), error) from None


def _temporary_name(path: Path) -> str:
    # It says whose it is, see `_sweep`.
    start, end = _around(path)
    return f"{start}{_machine()}-{os.getpid()}-{uuid.uuid4().hex[:8]}{end}"


def _around(path: Path) -> tuple[str, str]:
    # Long names leave no room for the rest: file systems allow 255 bytes.
    stem = path.stem.encode()[:150].decode(errors="ignore")
    return f".{stem}.", f".partial{path.suffix[:40]}"


@cache
def _machine() -> str:
    """Name the processes among which a number means one: those of a running system, or of a container in it."""
    parts = [socket.gethostname()]
    with suppress(OSError):  # elsewhere than on Linux the name has to do
        parts += [Path("/proc/sys/kernel/random/boot_id").read_text(), str(Path("/proc/self/ns/pid").readlink())]
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:8]


def _sweep(path: Path) -> None:
    """Delete what was to become this file or folder, of writers that were killed.

    On this machine the process tells; in a folder that several share, those elsewhere are known by their age alone.
    """
    start, end = map(re.escape, _around(path))
    pattern = re.compile(rf"{start}([0-9a-f]{{8}})-(\d+)-[0-9a-f]{{8}}{end}(\.former)?")
    with suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            found = pattern.fullmatch(entry.name)
            if found is None:
                continue
            left = Path(entry.path)
            if not _is_running(int(found[2])) if found[1] == _machine() else _is_stale(left):
                shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # somebody else's
        return True
    return True


def _is_stale(path: Path) -> bool:
    return time.time() - path.stat().st_mtime > _STALE_SECONDS


def _errno(error: BaseException) -> int | None:
    number = getattr(error, "errno", None)
    if isinstance(number, int):
        return number
    text = str(error)
    for number in _SENTENCES:
        if f"errno = {number}," in text or os.strerror(number) in text:
            return number
    return None
