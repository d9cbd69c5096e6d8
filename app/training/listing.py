"""``train --list``: the bundled recipes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.output import table, write_json, write_line
from app.training.recipe import list_recipes

if TYPE_CHECKING:
    import argparse

    from app.training.recipe import Recipe


def show_recipes(arguments: argparse.Namespace) -> int:
    """Write what recipes there are to stdout, the quick ones first."""
    recipes = sorted(list_recipes(), key=lambda recipe: ("minutes" not in recipe.values, recipe.name))
    if arguments.json:
        write_json([_plain(recipe) for recipe in recipes])
        return 0
    rows = [(one.name, _title(one), one.values["n_coils"], _length(one), _first(one.summary)) for one in recipes]
    write_line(table(rows, ("recipe", "method", "coils", "length", "what it is")))
    write_line("\ntrain one: mri-workstation train RECIPE --set images=FILE_OR_FOLDER (or kspace=FOLDER)")
    return 0


def _plain(recipe: Recipe) -> dict[str, Any]:
    return {"name": recipe.name, "summary": recipe.summary, "values": dict(recipe.values)}


def _title(recipe: Recipe) -> str:
    from recon import models

    return models.get_card(recipe.values["model"]).title


def _length(recipe: Recipe) -> str:
    if "minutes" in recipe.values:
        return f"{recipe.values['minutes']:g} min"
    return f"{recipe.values['epochs']} epochs"


def _first(summary: str) -> str:
    """The first sentence; a full stop inside brackets or before a small letter ends none."""
    depth = 0
    for place, letter in enumerate(summary):
        depth += (letter in "([") - (letter in ")]")
        if letter in ".;:" and not depth and summary[place + 1 : place + 2] in ("", " "):
            return summary[:place]
    return summary
