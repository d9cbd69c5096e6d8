"""The files of a folder tree, without those that only look like files: what the operating system says of itself."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from recon.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_FILES = 100_000

_MOUNTS = Path("/proc/self/mountinfo")
# File systems whose files are made up as they are read: some never end, some wait for ever, some set off something.
_MADE_UP = frozenset((
    "autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs", "efivarfs",
    "fusectl", "mqueue", "nsfs", "proc", "pstore", "securityfs", "selinuxfs", "sysfs", "tracefs",
))  # fmt: skip


def files(folder: Path, dead_links: list[Path] | None = None) -> Iterator[Path]:
    """Yield the regular files of a folder tree in the order of their names; hidden ones, linked folders and the
    system's own file systems are left out.

    Parameters
    ----------
    folder
        The folder; a file is the only one of its own.
    dead_links
        Gets the links that lead to nothing.

    Raises
    ------
    FileError
        If the folder cannot be read, is the system's own, or holds more files than a study can.
    """
    if folder.is_file():
        yield folder
        return
    mounts = _mounts()
    real = Path(os.path.realpath(folder))
    # The innermost counts: a disk may be mounted inside /dev.
    innermost = next((parent for parent in (real, *real.parents) if str(parent) in mounts), None)
    if innermost is not None and mounts[str(innermost)] in _MADE_UP:
        raise FileError(folder, "belongs to the operating system and holds no scans; open the folder of a study.")
    n_found = 0
    pending = [(folder, real)]
    while pending:
        here, where = pending.pop()
        try:
            with os.scandir(here) as listing:
                entries = sorted(
                    (entry for entry in listing if not entry.name.startswith(".")), key=lambda one: one.name
                )
        except OSError as error:
            # Only the folder that was asked for has to be readable; a closed one inside it is passed over.
            if here == folder:
                raise FileError(folder, f"cannot be read ({error.strerror}); change its permissions.") from None
            continue
        inside = []
        for entry in entries:
            if _is(entry.is_dir, follow_symlinks=False):
                if mounts.get(str(where / entry.name)) not in _MADE_UP:
                    inside.append((here / entry.name, where / entry.name))
            elif _is(entry.is_file):
                n_found += 1
                if n_found > MAX_FILES:
                    raise FileError(folder, f"holds more than {MAX_FILES} files; open the folder of one study.")
                yield here / entry.name
            elif dead_links is not None and is_dead_link(here / entry.name):
                dead_links.append(here / entry.name)
        pending += reversed(inside)


def is_dead_link(path: Path) -> bool:
    """Return True for a link whose target is not there."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return path.is_symlink()
    except OSError:
        return False
    return False


def dead_link(path: Path) -> str:
    """Return what to say of such a link."""
    return f"is a link to {path.readlink()}, which is not there; bring that file back, or point the link elsewhere."


def _is(question: Callable[..., bool], **how: bool) -> bool:
    """What may not be looked at, such as a link into a closed folder, is neither file nor folder."""
    try:
        return question(**how)
    except OSError:
        return False


def _mounts() -> dict[str, str]:
    """Where file systems begin, and of which kind they are, as Linux lists them; nothing elsewhere."""
    try:
        lines = _MOUNTS.read_bytes().decode(errors="surrogateescape").splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        before, _, after = line.partition(" - ")
        if len(words := before.split(" ")) > 4 and after:
            # Blanks and backslashes in names are written as octal numbers.
            place = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), words[4])
            found[place] = after.split(" ")[0]
    return found
