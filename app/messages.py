"""What the user is told: a message is data, the window decides how it looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.output import count
from recon.errors import DeviceError, FileError, MRIError, SliceError

if TYPE_CHECKING:
    from recon.data import Series, Study


@dataclass(frozen=True)
class Message:
    """Something the user should read.

    Attributes
    ----------
    level
        ``info``, ``success``, ``warning`` or ``error``.
    text
        One or two sentences.
    details
        Traceback or other text to copy; empty when there is none.
    action
        What a button on the banner does: ``use-cpu``, ``open-folder``, ``show-training``, ``reconstruct-results`` or
        empty.
    target
        What the action acts on, such as a folder or ``3 results``.
    topic
        ``slice`` for what is true only while the slice in view is; the banner takes it back with the slice.
    """

    level: str
    text: str
    details: str = ""
    action: str = ""
    target: str = ""
    topic: str = ""


def sentence(text: str) -> str:
    """Return a text with a capital at its start, unless it starts with the name of a file or a symbol."""
    first = text.split(" ", 1)[0]
    return text[:1].upper() + text[1:] if first.isalpha() and first.islower() else text


def problem_of(error: FileError) -> str:
    """Return what is wrong with a file; its slices are counted from 1, as everywhere in the window."""
    return f"slice {error.index + 1} {error.reason}" if isinstance(error, SliceError) else error.problem


def explain(error: BaseException, details: str, doing: str, device: str) -> Message:
    """Turn an exception into a message.

    Parameters
    ----------
    error
        Errors of `recon.errors` are written for the reader already; others are programming errors.
    details
        Traceback.
    doing
        What was going on, as in "while opening a file".
    device
        Device of the request: a device that ran out of memory has the CPU as its way out.
    """
    if isinstance(error, DeviceError) and error.out_of_memory and device != "cpu":
        return Message("error", sentence(str(error)), details, action="use-cpu")
    if isinstance(error, FileError):
        return Message("error", sentence(f"{error.path}: {problem_of(error)}"))
    if isinstance(error, MRIError):
        return Message("error", sentence(str(error)))
    if isinstance(error, MemoryError):
        return Message("error", f"The memory of this machine ran out while {doing}; close other programs.", details)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return Message("error", f"{where}{error.strerror or error}, while {doing}.", details)
    kind = type(error).__name__
    return Message("error", f"Something unexpected happened while {doing}: {kind}: {error}", details)


def notes_text(series: Series, study: Study) -> str:
    """Return what a series says of itself, under the name that tells it from the others of its study."""
    title = study.title if len(study.series) == 1 else series.title
    return f"{title}: {' '.join(dict.fromkeys(series.notes))}"


def explain_lost(study: Study, n_results: int) -> Message:
    """Say that a study changed, and that results of what it was are no longer there."""
    went = f"{count(n_results, 'result')} of what it was {'is' if n_results == 1 else 'are'} gone"
    return Message("warning", f"{study.path.name} changed since it was opened; {went}.")


def explain_declined(study: Study) -> Message:
    """Turn the files that were not opened into one message with all reasons in its details."""
    # A reason that begins with the name of the series goes on where the name of the file ends.
    lines = [
        f"{declined.path.name}{' ' if declined.reason.startswith('(') else ': '}{declined.reason}"
        for declined in study.declined
    ]
    if not lines:
        return Message("error", f"{study.path}: nothing in it can be reconstructed.")
    more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
    return Message("warning", f"Not opened: {lines[0]}{more}", "\n".join(lines) if more else "")
