"""What a training is started with: a recipe, what the user changed of it, a folder, and a file that says all.

Reads recipes as data. What the values mean and whether they fit is judged by the training itself, in its own process.
"""

from __future__ import annotations

import itertools
import json
import os
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.errors import RequestError
from recon.masks import LINE_KINDS, POINT_KINDS
from training.config import PRESETS, TrainingConfig, from_dict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from app.settings import Settings

MASK_KINDS = (*LINE_KINDS, *POINT_KINDS)
_HDF5 = (".h5", ".hdf5")
_N_LOOKED_AT = 2000
"""Files of a folder that are looked at to learn what it holds; its check looks at all of them."""


@dataclass(frozen=True)
class Recipe:
    """A recipe, bundled or the user's own.

    Attributes
    ----------
    name
        Of a bundled one its file without the suffix, else the path of its file.
    summary
        The comment at its head.
    values
        What it sets.
    """

    name: str
    summary: str
    values: Mapping[str, Any]


def list_recipes() -> list[Recipe]:
    """Return the recipes that come with the program; one that cannot be read is left out."""
    recipes = []
    for path in sorted(PRESETS.glob("*.toml")):
        try:
            recipes.append(replace(read_recipe(path), name=path.stem))
        except ValueError:
            continue
    return recipes


def read_recipe(path: Path) -> Recipe:
    """Read the file of a recipe.

    Raises
    ------
    ValueError
        If there is none, or it is no recipe; the message is a sentence.
    """
    try:
        text = path.read_text("utf-8")
        values = tomllib.loads(text)
        from_dict(values)
    except FileNotFoundError as error:
        raise ValueError(f"There is no recipe {path}; choose another.") from error
    except (OSError, ValueError, RequestError) as error:
        reason = str(getattr(error, "strerror", None) or error).rstrip(".")
        raise ValueError(f"{path} is no recipe of a training: {reason}.") from error
    head = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    return Recipe(str(path), " ".join(line.strip("# ") for line in head), values)


def find_recipe(name: str, recipes: Iterable[Recipe]) -> Recipe:
    """Return the recipe of a name: one of these, or what a file holds.

    Raises
    ------
    ValueError
        If there is neither, or the file is no recipe; the message is a sentence.
    """
    found = next((one for one in recipes if one.name == name), None)
    return found or read_recipe(Path(name).expanduser())


def told(values: Mapping[str, Any], key: str) -> str:
    """Say what a recipe takes for a list of values, from the training's own where it names none: ``4, 4, 8``."""
    found = values.get(key, getattr(TrainingConfig(), key))
    return ", ".join(one if isinstance(one, str) else f"{one:g}" for one in found)


def to_toml(values: Mapping[str, Any]) -> str:
    """Write strings, numbers, booleans, lists and tables of them as TOML."""
    return "".join(f"{_key(key)} = {_value(value)}\n" for key, value in values.items() if value is not None)


def _key(key: str) -> str:
    is_bare = key and all(letter.isascii() and (letter.isalnum() or letter in "-_") for letter in key)
    return key if is_bare else json.dumps(key, ensure_ascii=False)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_value, value)) + "]"
    # JSON spells infinity with a capital, and TOML knows no DEL in a string.
    text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return {"Infinity": "inf", "-Infinity": "-inf", "NaN": "nan"}.get(text, text)


def read_accelerations(text: str) -> tuple[float, ...]:
    """Read a list such as ``4, 4, 8``; empty leaves it to the recipe.

    Raises
    ------
    ValueError
        If something in it is no acceleration; the message is a sentence.
    """
    found = []
    for word in text.replace(";", " ").replace(",", " ").split():
        try:
            factor = float(word.rstrip("x×"))
        except ValueError:
            factor = 0.0
        if not 1 <= factor <= 32:
            raise ValueError(f"Acceleration cannot be {word!r}; give numbers from 1 to 32, such as 4, 4, 8.")
        found.append(factor)
    return tuple(found)


def data_key(data: Path) -> str:
    """Return the key of a recipe that takes this data: ``kspace`` for a folder of raw data, else ``images``."""
    n_seen = 0
    folders = [data]
    # The folder itself, and those of a fastMRI release one and two levels down.
    for depth in range(3):
        deeper: list[Path] = []
        for folder in folders:
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        n_seen += 1
                        if n_seen > _N_LOOKED_AT:
                            return "images"
                        if entry.is_dir() and depth < 2:
                            deeper.append(Path(entry.path))
                        elif Path(entry.name).suffix.lower() in _HDF5:
                            return "kspace"
            except OSError:
                continue
        folders = deeper
    return "images"


def compose(settings: Settings, recipes: list[Recipe]) -> dict[str, Any]:
    """Return the values of a recipe with what the settings change of it.

    Raises
    ------
    ValueError
        If the settings name no data, no recipe, or an acceleration that is none; the message is a sentence.
    """
    if not settings.training_data:
        raise ValueError("Choose the data of the training first.")
    data = Path(settings.training_data).expanduser().absolute()
    if not data.exists():
        raise ValueError(f"There is no {data}; choose the data of the training again.")
    values = dict(find_recipe(settings.training_recipe, recipes).values)
    values.pop("images", None)
    values.pop("kspace", None)
    if settings.training_model:
        if settings.training_model != values.get("model"):
            # They describe the method of the recipe, not the one that was chosen.
            values.pop("overrides", None)
        values["model"] = settings.training_model
    values[settings.training_key or data_key(data)] = str(data)
    if settings.training_masks:
        values["mask_kinds"] = list(settings.training_masks.split(","))
    accelerations = read_accelerations(settings.training_accelerations)
    if accelerations:
        values["accelerations"] = list(accelerations)
    if settings.training_coils:
        values["n_coils"] = settings.training_coils
    if settings.training_minutes:
        values["minutes"] = float(settings.training_minutes)
    if settings.training_licence:
        values["licence"] = settings.training_licence
    return values


def new_run_folder(output: Path, model: str) -> Path:
    """Return a folder of its own for a run, numbered on from those that are there."""
    number = 1
    while (output / f"{model}-{number:03d}").exists():
        number += 1
    return output / f"{model}-{number:03d}"


def inspection_text(report: Mapping[str, Any], n_most: int = 20) -> str:
    """Say what ``train --check DATA --json`` found: what trains, what validates, what cannot be used and why.

    Parameters
    ----------
    report
        What it printed; keys that it lacks are passed over.
    n_most
        Most unusable files that are named.
    """
    kinds = {"kspace": "Fully sampled raw data.", "images": "Magnitude images, whose k-space is simulated."}
    lines = [kinds[report["key"]]] if report.get("key") in kinds else []
    if report.get("problem"):
        lines.append(f"Nothing can be trained on it: {report['problem']}")
    parts = report.get("parts")
    for name, part in parts.items() if isinstance(parts, dict) else ():
        counted = [_count(part.get(f"n_{what}s"), what) for what in ("volume", "slice", "subject")]
        lines.append(f"{name}: {', '.join(filter(None, counted))}")
        lines += [
            f"    {title}: {', '.join(f'{value} ({number})' for value, number in part[key].items())}"
            for key, title in (("coils", "coils"), ("sizes", "size"), ("sequences", "sequence"))
            if part.get(key)
        ]
    unusable = report.get("unusable") or []
    if unusable:
        lines.append(f"{_count(len(unusable), 'file')} cannot be used:")
        lines += [f"    {Path(str(one.get('path'))).name}: {one.get('reason')}" for one in unusable[:n_most]]
        lines += [f"    and {len(unusable) - n_most} more"] if len(unusable) > n_most else []
    return "\n".join([*lines, *map(str, report.get("notes") or [])])


def _count(number: Any, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}" if isinstance(number, int) else ""
