"""The parameters of a method one by one, as a form or a command line takes them: what each is, and text to value.

They are the fields of the family's frozen dataclass. Its types say how a text is read, its docstring explains them,
its ``__post_init__`` judges them; nothing is written down twice.
"""

from __future__ import annotations

import importlib
import inspect
import json
import math
import types
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from recon.errors import ModelError, RequestError
from recon.values import real, whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recon.models.card import ModelCard

Kind = Literal["switch", "whole", "number", "choice", "text", "list", "other"]

_ON = ("true", "yes", "on", "1")
_OFF = ("false", "no", "off", "0")
_WORDS = {
    "switch": "true or false",
    "whole": "a whole number",
    "number": "a number",
    "text": "a text",
}
_SEVERAL = {
    "switch": "true and false",
    "whole": "whole numbers",
    "number": "numbers",
    "text": "texts",
    "other": "values",
}


def used_by(model: object) -> dict[str, Any]:
    """Return the parameters that a method runs with, as plain values for JSON; none for one that shows none."""
    values = getattr(model, "parameters_", None)
    if not is_dataclass(values):
        return {}
    return {item.name: _plain(getattr(values, item.name)) for item in fields(values)}


def _plain(value: Any) -> Any:
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        return str(value)


@dataclass(frozen=True)
class Parameter:
    """One parameter of a method.

    Attributes
    ----------
    name
        Field of the family's dataclass.
    kind
        What its value is; ``other`` is for a method to judge.
    value
        What the preset gives it.
    choices
        The texts that it may be, for a choice; the kind of an element, for a list.
    is_optional
        True where it may be left empty, which is None.
    help
        What the dataclass says about it.
    """

    name: str
    kind: Kind
    value: Any
    choices: tuple[str, ...] = ()
    is_optional: bool = False
    help: str = ""

    @property
    def spoken(self) -> str:
        """The name as a command line takes it: ``lambda_``, which Python's own word made so, is ``lambda``."""
        return self.name.rstrip("_")

    @property
    def title(self) -> str:
        """Words for the label of a field: ``n_iterations`` becomes ``Iterations``, ``lambda_`` ``λ``."""
        words = self.name.strip("_").removeprefix("n_").removeprefix("is_").split("_")
        words = ["λ" if word in ("lambda", "lamda", "lmbda") else word for word in words]
        first = words[0] if words[0] == "λ" else words[0].capitalize()
        return " ".join([first, *words[1:]])

    def show(self, value: Any) -> str:
        """Return a value as the text that `read` takes."""
        if value is None:
            return ""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, float):
            return f"{value:.12g}"
        if isinstance(value, (tuple, list)):
            return ", ".join(self.show(item) for item in value)
        return str(value)

    def read(self, text: str) -> Any:
        """Return the value that a text means.

        Raises
        ------
        ModelError
            If it means none.
        """
        text = text.strip()
        if not text and self.is_optional:
            return None
        try:
            if self.kind == "list":
                return tuple(_read_one(part.strip(), self.choices[0]) for part in text.split(",") if part.strip())
            if self.kind == "choice" and text not in self.choices:
                raise ValueError
            return _read_one(text, self.kind)
        except ValueError:
            raise self._refused(repr(text)) from None

    def take(self, value: Any) -> Any:
        """Return a value from Python or JSON in the type that the dataclass expects.

        Raises
        ------
        ModelError
            If it is of another type.
        """
        if value is None and self.is_optional:
            return None
        try:
            if self.kind == "list":
                if not isinstance(value, (tuple, list)):
                    raise ValueError
                return tuple(_take_one(part, self.choices[0]) for part in value)
            if self.kind == "choice" and str(value) not in self.choices:
                raise ValueError
            return value if self.kind == "choice" else _take_one(value, self.kind)
        except (RequestError, ValueError):
            raise self._refused(repr(value)) from None

    def _refused(self, shown: str) -> ModelError:
        if self.kind == "choice":
            wanted = f"one of {', '.join(self.choices)}"
        elif self.kind == "list":
            wanted = f"{_SEVERAL[self.choices[0]]} with commas between them"
        else:
            wanted = _WORDS[self.kind]
        nothing = ", or nothing" if self.is_optional else ""
        return ModelError(f"{self.spoken} is {shown}; give {wanted}{nothing}.")


def parameters_of(card: ModelCard, n_coils: int = 1) -> tuple[Parameter, ...]:
    """Return the parameters of a method with the values of its preset. Imports the family's module.

    Parameters
    ----------
    card
        The preset.
    n_coils
        Coils of the method; some presets depend on them.

    Raises
    ------
    ModelError
        If the family cannot be imported.
    """
    kind = _parameters_class(card)
    values = card.parameters_for(n_coils)
    words = _described(kind)
    found = []
    for item in _fields_of(kind):
        value = values.get(item.name, item.value)
        value = tuple(value) if isinstance(value, list) else value
        found.append(replace(item, value=value, help=words.get(item.name, "")))
    return tuple(found)


def typed(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values of a dataclass of parameters in the types that it expects; what they are it judges itself.

    Raises
    ------
    ModelError
        If one is of another type.
    """
    known = {item.name: item for item in _fields_of(kind)}
    return {name: known[name].take(value) for name, value in values.items()}


def _fields_of(kind: Any) -> list[Parameter]:
    """The parameters of a dataclass with its defaults."""
    try:
        hints = get_type_hints(kind)
    except NameError:  # a type that only a type checker imports: the default tells what it is
        hints = {}
    found = []
    for item in fields(kind):
        default = None if item.default is MISSING else item.default
        default = default if item.default_factory is MISSING else item.default_factory()
        name, choices, is_optional = _kind_of(hints.get(item.name, type(default)))
        found.append(Parameter(item.name, name, default, choices, is_optional))
    return found


def checked(card: ModelCard, overrides: Mapping[str, Any], n_coils: int = 1) -> dict[str, Any]:
    """Return overrides in the types that the method expects, judged by its dataclass.

    Raises
    ------
    ModelError
        If a name is unknown, or a value of a wrong type or impossible.
    """
    known = {parameter.name: parameter for parameter in parameters_of(card, n_coils)}
    unknown = sorted(set(overrides) - set(known))
    if unknown:
        raise ModelError(unknown_parameter(card, unknown[0], list(known)))
    taken = {name: known[name].take(value) for name, value in overrides.items()}
    _parameters_class(card)(**{name: parameter.value for name, parameter in known.items()} | taken)
    return taken


def from_texts(card: ModelCard, texts: Mapping[str, str], n_coils: int = 1) -> dict[str, Any]:
    """Return the overrides that a command line names; parameters that the method does not have are left out.

    Parameters
    ----------
    card
        The method.
    texts
        Values by name; an underscore at the end of a name, which keeps it apart from Python's words, may be missing.
    n_coils
        Coils of the method.

    Raises
    ------
    ModelError
        If a text means nothing, or the method refuses a value.
    """
    known = {parameter.spoken: parameter for parameter in parameters_of(card, n_coils)}
    named = {name.rstrip("_"): text for name, text in texts.items()}
    found = {known[name].name: known[name].read(text) for name, text in named.items() if name in known}
    return checked(card, found, n_coils)


def unknown_parameter(card: ModelCard, name: str, known: Sequence[str]) -> str:
    """Return the sentence that says what may be set instead."""
    return f"{card.title} has no parameter {name!r}; it has {', '.join(sorted(known)) or 'none'}."


def _parameters_class(card: ModelCard) -> Any:
    from recon.models import FAMILIES

    if ":" in card.family:
        from recon.models.plugins import classes_of

        return classes_of(card)[1]
    if card.family not in FAMILIES:
        raise ModelError(f"model family {card.family!r} is unknown; update the workstation.")
    module_name, _, name = FAMILIES[card.family]
    return getattr(importlib.import_module(module_name), name)


def _kind_of(hint: Any) -> tuple[Kind, tuple[str, ...], bool]:
    parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    others = [part for part in parts if part is not type(None)]
    is_optional = len(others) < len(parts)
    # Of int | float, the float holds both; other alternatives a method judges itself.
    kind = others[0] if len(others) == 1 else float if set(others) == {int, float} else object
    if get_origin(kind) is Literal and all(isinstance(choice, str) for choice in get_args(kind)):
        return "choice", get_args(kind), is_optional
    if get_origin(kind) in (tuple, list) or kind in (tuple, list):
        elements = {part for part in get_args(kind) if part is not Ellipsis}
        return "list", (_simple(elements.pop()) if len(elements) == 1 else "other",), is_optional
    return _simple(kind), (), is_optional


def _simple(kind: Any) -> Kind:
    kinds: dict[Any, Kind] = {bool: "switch", int: "whole", float: "number", str: "text"}
    return kinds.get(kind, "other")


def _take_one(value: Any, kind: str) -> Any:
    if kind == "whole":
        return whole(value, kind)
    if kind == "number":
        number = float(real(value, kind))
        if not math.isfinite(number):
            raise ValueError
        return number
    wanted = {"switch": bool, "other": object}.get(kind, str)
    if not isinstance(value, wanted):
        raise ValueError
    return value


def _read_one(text: str, kind: str) -> Any:
    if kind == "switch":
        if text.lower() not in _ON + _OFF:
            raise ValueError
        return text.lower() in _ON
    if kind == "whole":
        return int(text)
    if kind == "number":
        number = float(text.replace(",", "."))
        if not math.isfinite(number):
            raise ValueError
        return number
    return text


def _described(kind: type) -> dict[str, str]:
    """Texts of the section Attributes of a docstring, by name."""
    lines = inspect.cleandoc(kind.__doc__ or "").splitlines()
    found: dict[str, list[str]] = {}
    names: list[str] = []
    is_inside = False
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if following and set(following) == {"-"}:
            is_inside, names = line.strip() in ("Attributes", "Parameters"), []
        elif is_inside and line and not line.startswith((" ", "-")):
            names = [name.strip() for name in line.split(",")]
        elif names and line.strip():
            for name in names:
                found.setdefault(name, []).append(line.strip())
    return {name: " ".join(words) for name, words in found.items()}
