"""The fields of a JSON object, taken one by one: what is missing, unknown or of a wrong kind is refused by its name."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NoReturn

from recon.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# Whole numbers up to this one are the same for every reader of JSON.
LARGEST = 2**53


class Fields:
    """Fields that are taken once each.

    Parameters
    ----------
    file
        Where they were read, for the sentence that refuses one.
    kind
        What the file is, such as ``session``.
    remedy
        What to do about a damaged one.
    values
        What should be the object.
    where
        Its name in the file; empty for the file as a whole.

    Attributes
    ----------
    found
        Those that were not taken yet.
    """

    def __init__(self, file: Path, kind: str, remedy: str, values: Any, where: str = "") -> None:
        self._file, self._kind, self._remedy = file, kind, remedy
        self._where = where
        if not isinstance(values, dict):
            self._fail(f"{where or 'what it holds'} is {as_written(values)}", "an object of named fields")
        self.found: dict[str, Any] = dict(values)

    def refuse(self, name: str, value: Any, expected: str) -> NoReturn:
        """Say what was found, what was expected, and what to do."""
        self._fail(f"{self._name(name)} is {as_written(value)}", expected)

    def end(self) -> None:
        """Refuse what was not taken."""
        for name in self.found:
            self._fail(f"it has a field {as_written(self._name(name))}", "none of this name")

    def skip(self, *names: str) -> None:
        """Leave out what is there for people."""
        for name in names:
            self.found.pop(name, None)

    def part(self, name: str, *, optional: bool = False) -> Any:
        """Return the fields of an object, or None."""
        value = self._take(name)
        return None if value is None and optional else self._inner(value, self._name(name))

    def parts(self, name: str) -> list[Fields]:
        """Return the fields of each object of a list."""
        values = self._take(name)
        if not isinstance(values, list):
            self.refuse(name, values, "a list")
        return [self._inner(value, f"{self._name(name)}[{place}]") for place, value in enumerate(values)]

    def text(self, name: str, choices: Sequence[str] = (), *, optional: bool = False) -> Any:
        """Return a text, one of the choices where there are any, or None."""
        value = self._take(name)
        if value is None and optional:
            return None
        if not isinstance(value, str) or "\0" in value or (choices and value not in choices):
            self.refuse(name, value, f"one of {', '.join(choices)}" if choices else "a text")
        return value

    def switch(self, name: str) -> bool:
        """Return true or false."""
        value = self._take(name)
        if not isinstance(value, bool):
            self.refuse(name, value, "true or false")
        return value

    def one_of(self, name: str, choices: Sequence[float]) -> float:
        """Return one of some numbers."""
        value = self._take(name)
        if isinstance(value, bool) or value not in choices:
            self.refuse(name, value, f"one of {', '.join(map(str, choices))}")
        return float(value)

    def whole(self, name: str, high: int = LARGEST, *, optional: bool = False) -> Any:
        """Return a whole number from 0, or None."""
        value = self._take(name)
        if value is None and optional:
            return None
        if not _is_whole(value, high):
            self.refuse(name, value, f"a whole number from 0 to {high}" if high < LARGEST else "a whole number from 0")
        return value

    def wholes(self, name: str, count: int) -> Any:
        """Return some whole numbers from 0, or None."""
        value = self._take(name)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) != count or not all(_is_whole(one, LARGEST) for one in value):
            self.refuse(name, value, f"null or {count} whole numbers from 0")
        return tuple(value)

    def number(self, name: str, low: float, high: float) -> float:
        """Return a number within limits."""
        value = self._take(name)
        if not _is_number(value) or not low <= value <= high:
            self.refuse(name, value, f"a number from {low} to {high}")
        return float(value)

    def numbers(self, name: str, count: int, low: float = -math.inf, high: float = math.inf) -> Any:
        """Return some numbers within limits."""
        value = self._take(name)
        is_good = isinstance(value, list) and len(value) == count and all(_is_number(one) for one in value)
        if not is_good or not all(low <= one <= high for one in value):
            self.refuse(name, value, f"{count} numbers" + (f" from {low} to {high}" if math.isfinite(low) else ""))
        return tuple(float(one) for one in value)

    def damaged(self, name: str, problem: str) -> NoReturn:
        """Say what somebody else found wrong with a field; without a name, with all of them."""
        where = self._name(name) if name else self._where
        raise FileError(
            self._file, f"the {self._kind} is damaged in its {where}: {_short(problem.rstrip('.'))}. {self._remedy}."
        )

    def _inner(self, value: Any, where: str) -> Fields:
        return Fields(self._file, self._kind, self._remedy, value, where)

    def _take(self, name: str) -> Any:
        if name not in self.found:
            self._fail(f"{self._name(name)} is missing", "a file that is whole")
        return self.found.pop(name)

    def _name(self, name: str) -> str:
        return f"{self._where}.{name}" if self._where else name

    def _fail(self, found: str, expected: str) -> NoReturn:
        raise FileError(
            self._file, f"the {self._kind} is damaged: {_short(found)}; expected {expected}. {self._remedy}."
        )


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) <= 1e300  # which infinity is not, and larger whole numbers are no floats


def _is_whole(value: Any, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= high


def is_plain(value: Any) -> bool:
    """Tell whether a value is a number, a text, true, false or null."""
    return value is None or isinstance(value, (bool, str)) or _is_number(value)


def as_written(value: Any) -> str:
    """Return a value as the file has it, and of a long one the beginning."""
    try:
        text = json.dumps(value)
    except RecursionError:
        return "something that nests deep"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _short(text: str) -> str:
    # Names and values are whatever the file holds.
    text = " ".join(text.split())
    return text if len(text) <= 200 else f"{text[:197]}..."
