"""What can be seen of a training run from outside, and what its end means. Knows no Qt; looks run in a thread."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.training import process as training_process
from app.training.events import EVENTS, Record, Tail

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from app.training.process import Identity

CHECKPOINT = "last.ckpt"
LOG = "log.txt"
MARK = "==== started"
"""Begins the part of the log that belongs to the last start."""
_WISH = "==== asked to "
"""Begins the line that says who ended a run, for a window that looks later."""
_ERROR = "mri-workstation: error: "
_LOG_BYTES = 1 << 16

ENDING_BY = {"pause": "pausing", "stop": "stopping", "kill": "stopping"}
ENDING = ("pausing", "stopping")
RUNNING = ("starting", "training", *ENDING)
WORDS = {
    "idle": "no run",
    "starting": "starting",
    "training": "training",
    "pausing": "pausing",
    "stopping": "stopping",
    "finished": "finished",
    "paused": "paused",
    "stopped": "stopped",
    "failed": "failed",
    "killed": "killed",
    "gone": "folder gone",
}


@dataclass(frozen=True)
class Look:
    """One look at a run.

    Attributes
    ----------
    events, has_more, is_anew
        What `Tail.read` returns.
    is_alive
        Whether its process trains.
    identity
        Its process, where it was looked for and found.
    has_folder, has_checkpoint
        What there is on the disk.
    log
        What the last start wrote to the log; read only when the process is gone.
    """

    events: Sequence[dict[str, Any]]
    has_more: bool
    is_anew: bool
    is_alive: bool
    identity: Identity | None
    has_folder: bool
    has_checkpoint: bool
    log: str


def look(folder: Path, tail: Tail, identity: Identity | None, *, is_search: bool = False) -> Look:
    """Look at a run.

    Parameters
    ----------
    folder
        Its folder.
    tail
        Reader of its events.
    identity
        Process that was seen last; None when none was.
    is_search
        Look for the process among all, as for a run that somebody else started.
    """
    # The process comes first: what it wrote before it went is in the file when the file is read.
    if is_search and not training_process.is_alive(identity, folder):
        identity = training_process.find(folder)
    is_alive = training_process.is_alive(identity, folder)
    events, has_more, is_anew = tail.read()
    return Look(
        events,
        has_more,
        is_anew,
        is_alive,
        identity if is_alive else None,
        folder.is_dir(),
        (folder / CHECKPOINT).is_file(),
        "" if is_alive else read_log(folder),
    )


def read_log(folder: Path) -> str:
    """Return the end of what the last start wrote to the log."""
    try:
        with (folder / LOG).open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _LOG_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    _, mark, rest = text.rpartition(MARK)
    return rest.partition("\n")[2].strip() if mark else text.strip()


def note_wish(folder: Path, wanted: str) -> None:
    """Write into the log of a run that it was asked to ``pause``, ``stop`` or be ended by ``kill``."""
    with suppress(OSError), (folder / LOG).open("a", encoding="utf-8") as file:
        file.write(f"{_WISH}{wanted}\n")


def outcome(record: Record, log: str, folder: Path, wanted: str, has_checkpoint: bool) -> tuple[str, str]:
    """Say how a training ended.

    Parameters
    ----------
    record
        Its events.
    log
        What it wrote to the log.
    folder
        Its folder.
    wanted
        ``pause``, ``stop`` or ``kill`` when the user asked for the end; empty takes what the log tells of it.
    has_checkpoint
        Whether it can go on.

    Returns
    -------
    state, sentence
        ``finished``, ``paused``, ``stopped``, ``failed`` or ``killed``, and why and what to do, for the reader.
    """
    name = folder.name
    go_on = "Resume goes on from its last checkpoint." if has_checkpoint else "It wrote no checkpoint; start it anew."
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    wishes = [line.removeprefix(_WISH) for line in lines if line.startswith(_WISH)]
    # A wish that the log tells of is an old one where the run was finished since.
    wanted = wanted or (wishes[-1] if wishes and not record.is_done else "")
    lines = [line for line in lines if not line.startswith(_WISH)]
    if wanted == "kill":
        return "killed", f"The training {name} was killed as you asked. {go_on}"
    errors = [place for place, line in enumerate(lines) if line.startswith(_ERROR)]
    if errors:
        said = " ".join([lines[errors[-1]].removeprefix(_ERROR), *lines[errors[-1] + 1 :][:2]])
        return "failed", f"The training {name} stopped: {said}"
    fatal = next((line for line in reversed(lines) if line.startswith("Fatal Python error")), "")
    if fatal:
        return "failed", f"The training {name} crashed ({fatal}). {go_on}"
    if record.is_done:
        return "finished", f"The training {name} is finished; Publish puts its weights into the list of models."
    if wanted == "stop":
        kept = "Publish puts the weights that it had into the list of models." if has_checkpoint else go_on
        return "stopped", f"The training {name} was stopped. {kept}"
    if wanted or record.is_interrupted or (lines and lines[-1].endswith("interrupted")):
        return "paused", f"The training {name} is paused. {go_on}"
    last = f" Its last line was: {lines[-1]}" if lines else ""
    return "killed", (
        f"The training {name} ended without a word: it was killed, or the machine ran out of memory or was restarted. "
        f"{go_on}{last}"
    )


def remaining(seconds: float) -> str:
    """Say a time that is left in the two largest units."""
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"


def resolve_image(folder: Path, image: str) -> Path | None:
    """Return the path of a picture that an event names, if it lies in the run folder."""
    path = (folder / image).resolve()
    return path if path.is_relative_to(folder.resolve()) and path.is_file() else None


def siblings(folder: Path, n_most: int = 30) -> list[Path]:
    """Return the other run folders beside one, newest first."""
    try:
        found = [one for one in folder.parent.iterdir() if one != folder and (one / EVENTS).is_file()]
        return sorted(found, key=lambda one: (one / EVENTS).stat().st_mtime, reverse=True)[:n_most]
    except OSError:
        return []
