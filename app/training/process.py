"""A training as the operating system sees it: which process it is, whether it lives, and how it is asked to end.

A process number alone proves nothing, because numbers are used again. A training is recognised by its number, the
moment at which it started, and the run folder on its command line.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_BOOT = "sys/kernel/random/boot_id"
_N_LOOKS = 20


@dataclass(frozen=True)
class Identity:
    """Which process trains.

    Attributes
    ----------
    pid
        Number of the process.
    started
        When it started, in the words of the operating system; no two processes of one number share it.
    """

    pid: int
    started: str


def identify(pid: int, folder: Path) -> Identity | None:
    """Return the identity of the process of this number, if it trains into this folder."""
    found = _look(pid)
    for _ in range(_N_LOOKS):
        if found is None or found[1]:
            break
        # A process that turns into another program, as a shell does by exec, has no words for a moment.
        time.sleep(0.001)
        found = _look(pid)
    return _recognise(pid, found, folder)


def is_alive(identity: Identity | None, folder: Path) -> bool:
    """Whether this very process still trains into this folder."""
    return identity is not None and identify(identity.pid, folder) == identity


def find(folder: Path) -> Identity | None:
    """Return the process that trains into a folder, whoever started it; None also where processes cannot be listed."""
    with suppress(OSError):
        for entry in PROC.iterdir():
            if entry.name.isdecimal():
                pid = int(entry.name)
                identity = _recognise(pid, _look(pid), folder)
                if identity is not None:
                    return identity
    return None


def ask_to_end(identity: Identity, folder: Path) -> bool:
    """Ask the training to write a checkpoint and end; False when it is gone."""
    return _send(identity, folder, signal.SIGTERM)


def kill(identity: Identity, folder: Path) -> bool:
    """End the training and its loaders at once, as it stands; False when it is gone."""
    group = 0
    with suppress(OSError):
        group = os.getpgid(identity.pid)
    is_sent = _send(identity, folder, signal.SIGKILL)
    # The group was made for this training; its loaders would notice within seconds, and hold files until then.
    if is_sent and group not in (0, os.getpgrp()):
        with suppress(OSError):
            os.killpg(group, signal.SIGKILL)
    return is_sent


def _send(identity: Identity, folder: Path, number: signal.Signals) -> bool:
    """Send a signal to exactly this process."""
    try:
        # A handle on the process, taken before it is recognised: its number cannot change owner in between.
        handle = os.pidfd_open(identity.pid)
    except AttributeError:
        handle = None
    except OSError:
        return False
    try:
        if not is_alive(identity, folder):
            return False
        if handle is None:
            os.kill(identity.pid, number)
        else:
            signal.pidfd_send_signal(handle, number)
    except OSError:
        return False
    finally:
        if handle is not None:
            os.close(handle)
    return True


def _recognise(pid: int, found: tuple[str, list[str]] | None, folder: Path) -> Identity | None:
    return Identity(pid, found[0]) if found is not None and _trains_into(pid, found[1], folder) else None


def _look(pid: int) -> tuple[str, list[str]] | None:
    """Return when a process started and the words of its command line; None when it is gone."""
    if not (PROC / "self" / "stat").exists():
        return _ask_ps(pid)
    try:
        # The name of the program stands in brackets and may hold anything, brackets and blanks too.
        fields = (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        words = (PROC / str(pid) / "cmdline").read_bytes().decode(errors="surrogateescape").split("\0")
        boot = (PROC / _BOOT).read_text().strip() if (PROC / _BOOT).exists() else ""
    except OSError:
        return None
    # Z and X are dead: only their parent has not looked yet. Field 22 counts ticks from the start of the machine.
    if len(fields) < 20 or fields[0] in "ZX":
        return None
    return f"{boot}:{fields[19]}", words[:-1]


def _ask_ps(pid: int) -> tuple[str, list[str]] | None:
    """Ask the program ps, where there is no /proc."""
    import subprocess

    try:
        done = subprocess.run(
            ["ps", "-ww", "-p", str(pid), "-o", "stat=", "-o", "lstart=", "-o", "args="],
            capture_output=True, text=True, errors="surrogateescape", timeout=10, check=False,
            env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    fields = done.stdout.split(None, 6)
    if done.returncode != 0 or len(fields) < 7 or fields[0][0] in "ZX":
        return None
    # Words cannot be told apart there, so a path is looked for as it stands.
    return " ".join(fields[1:6]), [fields[6].rstrip("\n")]


def _trains_into(pid: int, words: list[str], folder: Path) -> bool:
    """Whether a command line is that of a training with this run folder."""
    wanted = _resolved(folder)
    if len(words) == 1:
        return " train " in words[0] and any(f" --out {path} " in f"{words[0]} " for path in (folder, wanted))
    if "train" not in words:
        return False
    for place, word in enumerate(words):
        given = words[place + 1] if word == "--out" and place + 1 < len(words) else word.removeprefix("--out=")
        if (word == "--out" or word.startswith("--out=")) and given:
            path = Path(given)
            if not path.is_absolute():
                with suppress(OSError):
                    path = (PROC / str(pid) / "cwd").readlink() / path
            if _resolved(path) == wanted:
                return True
    return False


def _resolved(path: Path) -> Path:
    # Not strict: the folder may have been deleted under a training that goes on.
    return path.expanduser().resolve(strict=False)
