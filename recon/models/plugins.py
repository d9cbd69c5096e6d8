"""Methods of other packages: entry points of the group ``mri_workstation.models``, one for each method.

    [project.entry-points."mri_workstation.models"]
    example = "mri_example:CARD"

The name is what users type; the value leads to the `ModelCard` of that name, to a mapping of its fields, to a function
that returns either, or to a module that holds one as ``CARD`` or ``card``. The card's family says where the method is:
``"mri_example:Example"`` is the class ``Example``, a `recon.models.blocks.ReconstructionModel`, whose parameters are
the dataclass ``ExampleParameters`` beside it; the name of a family of the workstation makes a preset of that family.

Listing reads cards and makes no model, so a package that keeps its card apart from its torch code costs nothing. What
goes wrong becomes the `problem` of a card that is listed and refused, and never touches the other methods.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields, is_dataclass, replace
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, get_args

from recon.errors import ModelError, MRIError
from recon.models.card import DataConsistency, ModelCard, Sampling, Scale
from recon.models.parameters import typed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib import metadata

    from recon.models.blocks import ReconstructionModel

GROUP = "mri_workstation.models"
HEADING = "Plug-ins"

_NAME = re.compile(r"[A-Za-z0-9][\w.+-]*")
_TEXTS = ("title", "family", "group", "paper", "summary")
_FLAGS = ("needs_training", "needs_maps", "any_coils")


def read_plugins(taken: Mapping[str, str]) -> dict[str, ModelCard]:
    """Return the cards of all installed plug-ins by name, in the order of their names; the broken ones too.

    Parameters
    ----------
    taken
        Names that are not free, and whose they are.
    """
    from importlib import metadata

    try:
        entries = sorted(metadata.entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value))
    except Exception as error:  # noqa: BLE001  one package with broken metadata must not hide every method
        problem = f"the entry points of the installed packages cannot be read ({_said(error)})"
        return {"plug-ins": _broken("plug-ins", "the Python installation", problem)}
    cards: dict[str, ModelCard] = {}
    owners = dict(taken)
    for entry in entries:
        source = _source(entry)
        name = entry.name
        if name in owners:
            problem = f"{owners[name]} has the name {name} already; rename the entry point and its card"
            name = f"{name} ({source})"
            cards[name] = _broken(name, source, problem)
            continue
        owners[name] = source
        try:
            cards[name] = replace(_card_of(entry), source=source)
        except (Exception, SystemExit) as error:  # noqa: BLE001  whatever a stranger's module does while it is imported
            cards[name] = _broken(name, source, _said(error))
    return cards


def build(card: ModelCard, n_coils: int, values: Mapping[str, Any]) -> ReconstructionModel:
    """Make the model that a plug-in's card leads to; its family is ``module:Class``.

    Raises
    ------
    ModelError
        If there is no such class, it is no method, or it does not take the values.
    """
    from recon.models.blocks import ReconstructionModel

    kind, parameters_kind = classes_of(card)
    with blame(card):
        if not issubclass(kind, ReconstructionModel):
            raise ModelError(f"{described(card)}: {kind.__name__} is no recon.models.blocks.ReconstructionModel.")
        check_names(card.name, parameters_kind, values)
        model: ReconstructionModel = kind(n_coils, parameters_kind(**typed(parameters_kind, values)))
    return model


def classes_of(card: ModelCard) -> tuple[type, type]:
    """Return the method's class and that of its parameters; imports the plug-in's module.

    Raises
    ------
    ModelError
        If one is missing, or the module cannot be imported.
    """
    import importlib

    module_name, _, class_name = card.family.partition(":")
    with blame(card):
        module = importlib.import_module(module_name)
    _check_classes(card, module)
    return getattr(module, class_name), getattr(module, f"{class_name}Parameters")


def _check_classes(card: ModelCard, module: object) -> None:
    module_name, _, class_name = card.family.partition(":")
    for name in (class_name, f"{class_name}Parameters"):
        if not isinstance(getattr(module, name, None), type):
            raise ModelError(
                f"{described(card)}: {module_name} has no class {name}; the family {card.family!r} stands for the "
                f"class {class_name} of {module_name} and the dataclass {class_name}Parameters beside it."
            )
    if not is_dataclass(getattr(module, f"{class_name}Parameters")):
        raise ModelError(f"{described(card)}: {class_name}Parameters of {module_name} is no dataclass.")


def identity(card: ModelCard) -> dict[str, Any] | None:
    """Return what a plug-in's results depend on beside its weights: its card with the version of its package, and a
    hash of its code, which somebody who works on it changes without either. None for the workstation's own methods.

    Nothing is imported.
    """
    if not card.source:
        return None
    digest = hashlib.sha256()
    for place, path in _code(card.family.partition(":")[0]) if ":" in card.family else ():
        digest.update(f"{place}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return {"card": asdict(card), "code": digest.hexdigest()}


def _code(module_name: str) -> list[tuple[str, Path]]:
    """The files of a module, or of the whole package that it is a part of, each with its place in there."""
    from importlib.util import find_spec

    try:
        spec = find_spec(module_name.partition(".")[0])
    except ValueError:  # a module that something else than a file made
        spec = None
    if spec is None:
        return []
    if spec.submodule_search_locations is None:
        return [("", Path(spec.origin))] if spec.origin and Path(spec.origin).is_file() else []
    kinds = (*SOURCE_SUFFIXES, *EXTENSION_SUFFIXES)
    folders = [Path(folder) for folder in spec.submodule_search_locations]
    return [
        (path.relative_to(folder).as_posix(), path)
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.name.endswith(kinds) and path.is_file()
    ]


def check_names(family: str, parameters_class: type, values: Mapping[str, Any]) -> None:
    """Refuse values that a family's parameters do not have.

    Raises
    ------
    ModelError
        If there is one; the message names those that exist.
    """
    known = {item.name for item in fields(parameters_class)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ModelError(
            f"family {family} has no parameter {unknown[0]!r}; it has {', '.join(sorted(known)) or 'none'}."
        )


@contextmanager
def blame(card: ModelCard) -> Iterator[None]:
    """Turn what a plug-in's code raises into a ModelError that names the plug-in; errors of our own pass, as does all
    that the workstation's own methods raise.

    Parameters
    ----------
    card
        The method whose code runs.
    """
    try:
        yield
    except (MRIError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        # A device that ran out of memory is no fault of the plug-in; `recon.device.explain_memory` says it.
        if not card.source or "out of memory" in str(error) or "can't allocate memory" in str(error):
            raise
        raise ModelError(
            f"{described(card)} failed ({_said(error)}); update it, or report this to who wrote it."
        ) from error


def described(card: ModelCard) -> str:
    """Return what to call a method in an error."""
    return f"the plug-in {card.name} of {card.source}" if card.source else card.title


def _card_of(entry: metadata.EntryPoint) -> ModelCard:
    found = entry.load()
    if isinstance(found, ModuleType):
        module = found
        found = getattr(module, "CARD", getattr(module, "card", None))
        if found is None:
            raise ModelError(f"the module {module.__name__} holds neither CARD nor card")
    if callable(found):
        found = found()
    if isinstance(found, Mapping):
        found = ModelCard(**{"name": entry.name, **found})
    if not isinstance(found, ModelCard):
        raise ModelError(
            f"{entry.value} leads to an object of type {type(found).__name__}; a recon.models.ModelCard, a mapping of "
            "its fields or a function that returns one was expected"
        )
    _check(found, entry.name)
    # What a card has brought along costs nothing to look at.
    loaded = sys.modules.get(found.family.partition(":")[0])
    if ":" in found.family and loaded is not None:
        _check_classes(found, loaded)
    return found


def _check(card: ModelCard, name: str) -> None:
    problems = []
    if card.name != name:
        problems.append(f"the card is called {card.name!r} and its entry point {name!r}; one name was expected")
    if not _NAME.fullmatch(name) or name.endswith(".safetensors"):
        problems.append(f"the name {name!r} cannot be part of a file name; use letters, digits, dots and hyphens")
    problems += [f"{text} is no text" for text in _TEXTS if not isinstance(getattr(card, text), str)]
    problems += [f"{flag} is neither true nor false" for flag in _FLAGS if not isinstance(getattr(card, flag), bool)]
    allowed = {"scale": Scale, "data_consistency": DataConsistency, "needs_sampling": Sampling}
    for field, kind in allowed.items():
        choices = get_args(kind)
        if getattr(card, field) not in choices:
            problems.append(f"{field} is {getattr(card, field)!r}, choose {' or '.join(choices)}")
    if not isinstance(card.needs_coils, int) or card.needs_coils < 1:
        problems.append(f"needs_coils is {card.needs_coils!r}; a whole number from 1 was expected")
    if isinstance(card.family, str) and not _is_family(card.family):
        problems.append(f"family is {card.family!r}; 'module:Class' or a family of the workstation was expected")
    for text in ("parameters", "parameters_by_coils"):
        try:
            json.dumps(dict(getattr(card, text)))
        except (TypeError, ValueError):
            problems.append(f"{text} is no mapping of names to plain values")
    if problems:
        raise ModelError("; ".join(problems))


def _is_family(family: str) -> bool:
    from recon.models import FAMILIES

    module, _, name = family.partition(":")
    return family in FAMILIES or (name.isidentifier() and all(part.isidentifier() for part in module.split(".")))


def _broken(name: str, source: str, problem: str) -> ModelCard:
    return ModelCard(
        name=name,
        title=name,
        family="",
        group=HEADING,
        paper="",
        summary=f"A plug-in of {source} that cannot be used: {problem}.",
        needs_training=False,
        source=source,
        problem=f"the plug-in {name} of {source} cannot be used: {problem}.",
    )


def _source(entry: metadata.EntryPoint) -> str:
    """The distribution, such as ``mri-example 1.0``."""
    try:
        name, version = entry.dist.name, entry.dist.version  # type: ignore[union-attr]
    except Exception:  # noqa: BLE001  a distribution without metadata is named after its module
        return entry.value.partition(":")[0]
    return f"{name} {version}" if name and version else entry.value.partition(":")[0]


def _said(error: BaseException) -> str:
    """An error in one line: our own words as they are, others' with their kind."""
    text = " ".join(str(error).split()).rstrip(".")
    return text if isinstance(error, MRIError) else f"{type(error).__name__}: {text}".removesuffix(": ")
