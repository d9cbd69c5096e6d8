"""Names for widgets, by which tests, style sheets and screen readers find them."""

from __future__ import annotations

from typing import TypeVar

from PySide6.QtCore import QObject

Thing = TypeVar("Thing", bound=QObject)


def named(name: str, thing: Thing) -> Thing:
    """Give an object its name and hand it back."""
    thing.setObjectName(name)
    return thing
