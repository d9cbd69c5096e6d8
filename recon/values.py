"""Numbers from outside: numpy's become Python's, and what is no number is refused by name."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from recon.errors import RequestError


def whole(value: Any, name: str) -> int:
    """Return a whole number as int.

    Parameters
    ----------
    value
        Python's or numpy's integer.
    name
        What it is, for the error.

    Raises
    ------
    RequestError
        If it is something else; True and 2.0 are.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise RequestError(f"{name} is {_shown(value)}; give a whole number.")
    return int(value)


def real(value: Any, name: str) -> float:
    """Return a number as int or float, whichever it is, so that JSON holds it as it was given.

    Parameters
    ----------
    value
        Python's or numpy's number.
    name
        What it is, for the error.

    Raises
    ------
    RequestError
        If it is something else, or beyond what a float can hold.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise RequestError(f"{name} is {_shown(value)}; give a number.")
    try:
        number = float(value)
    except OverflowError:
        raise RequestError(f"{name} is {_shown(value)}, more than a number can be here.") from None
    return int(value) if isinstance(value, Integral) else number


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
