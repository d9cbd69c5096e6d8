"""What fits a few typed words, best first: the arithmetic behind the command palette."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# How well a word fits, from the start of a title down to a slip of the pen.
_IS_START = 10.0
_IS_KEY = 9.0
_STARTS_WORD = 8.0
_IS_INITIALS = 6.0
_IS_INSIDE = 5.0
_STARTS_GROUP = 4.0
_STARTS_KEY = 3.0
_IS_CLOSE = 1.0
_WHOLE = 5.0
"""Added where the title begins with all that was typed, and again where it is all of the title."""
_CLOSE = 0.8
"""Likeness from which a word counts as a misspelt one, see `difflib`."""
_SHORTEST_CLOSE = 4


@dataclass(frozen=True)
class Choice:
    """One thing that can be found.

    Attributes
    ----------
    key
        What it is known by, such as ``command:export``.
    title
        What the list says.
    group
        Where it belongs, such as the name of its menu.
    run
        What happens when it is taken.
    shortcut
        Its key as the platform writes it, or empty.
    can_run
        Whether it can be done now.
    """

    key: str
    title: str
    group: str
    run: Callable[[], Any]
    shortcut: str = ""
    can_run: bool = True


def found(choices: Sequence[Choice], text: str, recent: Sequence[str] = ()) -> list[Choice]:
    """Return the choices that have all words of a text, the best first.

    Parameters
    ----------
    choices
        What there is, in the order in which it stands where nothing is typed.
    text
        Words: beginnings and parts of the title, of the group or of the shortcut, initials (``rv`` for *Reconstruct
        volume*), or a word with a slip in it.
    recent
        Keys of the last choices, newest first; they come first where the words fit as well.
    """
    words = text.casefold().split()
    rank = {key: place for place, key in enumerate(recent)}
    fitting = []
    for place, choice in enumerate(choices):
        points = [_points(word, choice) for word in words]
        if all(points):
            title, phrase = choice.title.casefold(), " ".join(words)
            whole = _WHOLE * ((title == phrase) + title.startswith(phrase)) if words else 0.0
            order = (-sum(points) - whole, rank.get(choice.key, len(rank)), bool(words) and not choice.can_run, place)
            fitting.append((order, choice))
    return [choice for _, choice in sorted(fitting, key=lambda entry: entry[0])]


def _points(word: str, choice: Choice) -> float:
    """How well one word fits; 0 where it does not."""
    title, shortcut = choice.title.casefold(), choice.shortcut.casefold()
    own = re.findall(r"\w+", title)
    if title.startswith(word):
        return _IS_START
    if word == shortcut:
        return _IS_KEY
    if any(part.startswith(word) for part in own):
        return _STARTS_WORD
    if _are_initials(word, own):
        return _IS_INITIALS
    if word in title:
        return _IS_INSIDE
    if any(part.startswith(word) for part in (choice.group.casefold(), *re.findall(r"\w+", choice.group.casefold()))):
        return _STARTS_GROUP
    if shortcut.startswith(word):
        return _STARTS_KEY
    return _IS_CLOSE if any(_is_close(word, part) for part in own) else 0.0


def _are_initials(word: str, parts: Sequence[str]) -> bool:
    """Whether a word is put together from beginnings of some of the parts, in their order."""
    return not word or any(
        part.startswith(word[:length]) and _are_initials(word[length:], parts[place + 1 :])
        for place, part in enumerate(parts)
        for length in range(min(len(word), len(part)), 0, -1)
    )


def _is_close(word: str, part: str) -> bool:
    if min(len(word), len(part)) < _SHORTEST_CLOSE:
        return False
    matcher = SequenceMatcher(None, word, part, autojunk=False)
    return matcher.quick_ratio() >= _CLOSE and matcher.ratio() >= _CLOSE
