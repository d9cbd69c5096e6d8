"""What a training run has written, read as it grows: events, curves, previews, and how long it will take.

Knows no Qt. Reading costs what was added since the last look; the file is never read twice.
"""

from __future__ import annotations

import json
import math
import os
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

EVENTS = "events.jsonl"
CHUNK_BYTES = 1 << 20
_N_PACE = 24
"""Events from which the pace is taken: some two minutes of training."""

# Numbers of an event that become a curve, by the kind of the event.
_CURVES = {
    "step": ("loss", "learning_rate", "samples_per_second", "seconds"),
    "validation": ("psnr", "zero_filled_psnr", "ssim", "zero_filled_ssim", "nmse", "seconds"),
}


class Tail:
    """Reads the lines that were added to a file of events since the last time.

    Parameters
    ----------
    path
        The file; it may appear later, shrink, or be replaced by another one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.n_damaged = 0
        """Whole lines that were no event."""
        self._offset = 0
        self._rest = b""
        self._inode = 0

    def read(self, n_bytes: int = CHUNK_BYTES) -> tuple[list[dict[str, Any]], bool, bool]:
        """Read on.

        Parameters
        ----------
        n_bytes
            Most bytes to read at once.

        Returns
        -------
        events, has_more, is_anew
            The events of the whole lines that were added; whether more waits; whether the file began anew, so that
            what was read before no longer counts. A line without its end waits for the rest.
        """
        try:
            with self.path.open("rb") as file:
                state = os.fstat(file.fileno())
                is_anew = bool(self._inode) and (state.st_ino != self._inode or state.st_size < self._offset)
                if is_anew:
                    self._offset, self._rest = 0, b""
                self._inode = state.st_ino
                file.seek(self._offset)
                added = file.read(n_bytes)
        except OSError:
            return [], False, False
        self._offset += len(added)
        *lines, self._rest = (self._rest + added).split(b"\n")
        if len(self._rest) > CHUNK_BYTES:  # not a line of events
            self._rest = b""
            self.n_damaged += 1
        events = []
        for line in filter(None, map(bytes.strip, lines)):
            event = _event(line)
            if event is None:
                self.n_damaged += 1
            else:
                events.append(event)
        return events, self._offset < state.st_size, is_anew


def _event(line: bytes) -> dict[str, Any] | None:
    """Read one line. A run that was killed in mid-line and resumed has two in one: the second counts."""
    text = line.decode("utf-8", errors="replace").strip("\0 ")
    for start in (0, text.rfind('{"')):
        if start >= 0:
            try:
                event = json.loads(text[start:])
            except (ValueError, RecursionError):
                continue
            if isinstance(event, dict):
                return event
    return None


def number(event: dict[str, Any], key: str) -> float | None:
    """Return a finite number of an event, or None."""
    value = event.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


@dataclass
class Preview:
    """A picture of what the network made of a validation slice."""

    step: int
    image: str
    """Path relative to the run folder."""
    title: str = ""
    """What stands in it, from left to right."""


@dataclass
class Record:
    """All that the events of a run have told so far."""

    curves: dict[str, tuple[list[float], list[float]]] = field(default_factory=lambda: defaultdict(lambda: ([], [])))
    """Steps and values by name; a run that was resumed draws the repeated steps once."""
    latest: dict[str, float] = field(default_factory=dict)
    """The last value of every number."""
    previews: list[Preview] = field(default_factory=list)
    is_done: bool = False
    is_interrupted: bool = False
    """The last event says that it was asked to end."""
    n_events: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    """Files that were left out, and why; a run that was resumed tells of each again."""
    offer: dict[str, Any] = field(default_factory=dict)
    """Values of the recipe with which the training would fit into the memory that ran out."""
    _derived_epoch_steps: float | None = None
    _pace: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=_N_PACE))

    def take(self, event: dict[str, Any]) -> None:
        """Note one event; keys that are missing or of another kind are passed over."""
        kind = event.get("event")
        self.n_events += 1
        self.is_interrupted = kind in ("interrupted", "stopped", "paused")
        if kind == "skipped" and isinstance(event.get("path"), str):
            self.skipped.setdefault(event["path"], str(event.get("reason") or ""))
        if kind in ("start", "resume", "out_of_memory"):
            offer = event.get("offer")
            self.offer = dict(offer) if kind == "out_of_memory" and isinstance(offer, dict) else {}
        # The step of published weights, the best of the run, is not how far it came.
        for key in () if kind == "published" else event:
            value = number(event, key)
            if value is not None:
                self.latest[key] = value
        step = number(event, "step")
        if kind in ("step", "validation"):
            # A run that was resumed after its end is not done any more.
            self.is_done = False
            self._note_pace(event)
        else:
            self.is_done = self.is_done or kind == "done"
            if kind != "preview":
                self.forget_pace()
        if step is None:
            return
        for key in _CURVES.get(str(kind), ()):
            value = number(event, key)
            if value is not None:
                self._add(key, step, value)
        # The mean over an epoch; a short run has no other.
        loss = number(event, "loss") if kind == "validation" else None
        if loss is not None:
            self._add("epoch_loss", step, loss)
        epoch = number(event, "epoch") if kind == "validation" else None
        if epoch is not None and step > 0:
            self._derived_epoch_steps = self._derived_epoch_steps or step / (epoch + 1)
        image = event.get("image") if kind == "preview" else event.get("preview")
        if isinstance(image, str) and image:
            while self.previews and self.previews[-1].step >= step:
                self.previews.pop()
            self.previews.append(Preview(int(step), image, str(event.get("title") or "")))

    def _add(self, name: str, step: float, value: float) -> None:
        steps, values = self.curves[name]
        # After a resume the run repeats the steps since its last checkpoint.
        while steps and steps[-1] >= step:
            steps.pop()
            values.pop()
        steps.append(step)
        values.append(value)

    def _note_pace(self, event: dict[str, Any]) -> None:
        moment, share = number(event, "time"), number(event, "share")
        if moment is None or share is None:
            return
        if self._pace and (share < self._pace[-1][1] or moment < self._pace[-1][0]):
            self._pace.clear()
        self._pace.append((moment, share))

    def forget_pace(self) -> None:
        """Take the pace anew, as after a pause."""
        self._pace.clear()

    @property
    def epoch_steps(self) -> float | None:
        """Steps of an epoch, as the run says, or as its first validation shows; None before either."""
        said = self.latest.get("epoch_steps")
        return said if said else self._derived_epoch_steps

    @property
    def share(self) -> float | None:
        """Share of the schedule that is done, 0 to 1."""
        if self.is_done:
            return 1.0
        share = self.latest.get("share")
        return None if share is None else min(1.0, max(0.0, share))

    def eta_s(self) -> float | None:
        """Return the seconds that are left at the present pace; None while too little is known."""
        if "eta_seconds" in self.latest and not self.is_done:
            return max(0.0, self.latest["eta_seconds"])
        if self.is_done or len(self._pace) < 3:
            return None
        (start, first), (end, last) = self._pace[0], self._pace[-1]
        if end <= start or last <= first:
            return None
        return (1.0 - last) * (end - start) / (last - first)

    @property
    def is_empty(self) -> bool:
        """True before the first event."""
        return self.n_events == 0
