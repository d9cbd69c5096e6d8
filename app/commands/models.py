"""List, show, install and verify models and their weights.

list shows every model and whether it is ready; show prints a card with its weights and their scores; install checks
a .safetensors file and copies it to the user's own weights, where others of its name stay unless told to go; verify
recomputes the hash of all weights."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.output import table, write_json, write_line
from app.story import story_text, value_text
from recon.errors import ModelError, MRIError

if TYPE_CHECKING:
    import argparse

    from recon.models import ModelCard
    from recon.weights import Weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text in (
        ("list", "every model, and whether it has weights"),
        ("show", "one model, or one file of weights: paper, parameters, weights, scores"),
        ("install", "check a weights file and copy it to your own weights"),
        ("verify", "recompute the hash of all weights, or of the files named"),
    ):
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument("--json", action="store_true", help="write JSON to stdout")
        if name == "show":
            action.add_argument("name", metavar="NAME", help="model, such as pcrnn-s, or a .safetensors file")
        elif name == "install":
            action.add_argument("file", metavar="FILE", type=Path, help="a .safetensors file")
            action.add_argument("--replace", action="store_true", help="also where other weights have this name")
        elif name == "verify":
            action.add_argument("files", metavar="FILE", type=Path, nargs="*", help="files; all weights when left out")


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked."""
    actions = {"list": _list, "show": _show, "install": _install, "verify": _verify}
    return actions[arguments.action](arguments)


def _list(arguments: argparse.Namespace) -> int:
    from recon.models import list_models
    from recon.models.size import size_note

    cards = list_models()
    if arguments.json:
        write_json([card.to_dict() for card in cards])
        return 0
    rows = []
    notes = []
    for card in cards:
        running = _that_run(card)
        differing = [note for weights in running if (note := size_note(card, weights))]
        sizes = " and ".join(f"{weights.n_parameters:,}" for weights in running)
        rows.append((card.name, card.title, _state(card), f"{sizes} *" if differing else sizes, _what_it_is(card)))
        notes += [f"* {card.name}: {note}" for note in differing]
    write_line(table(rows, ("name", "title", "state", "parameters", "what it is")))
    if notes:
        write_line("\n" + "\n".join(notes))
    return 0


def _that_run(card: ModelCard) -> list[Weights]:
    """Return those weights of a preset that a scan may get without naming them."""
    from recon.models.fit import weights_by_coils

    return list(weights_by_coils(card).values())[: 1 if card.any_coils else None] if card.weights else []


def _state(card: ModelCard) -> str:
    if card.problem:
        return "not installed" if card.requires_program else "broken"
    if not card.needs_training:
        return "ready"
    coils = sorted({weights.n_coils for weights in card.weights})
    return f"ready for {', '.join(map(str, coils))} coil{'s' if coils != [1] else ''}" if coils else "no weights"


def _what_it_is(card: ModelCard) -> str:
    return card.problem or _first_sentence(card.summary)


def _first_sentence(text: str) -> str:
    sentence = text.split(". ")[0].rstrip(".")
    return sentence if len(sentence) <= 90 else sentence[:89].rsplit(" ", 1)[0] + " …"


def _show(arguments: argparse.Namespace) -> int:
    from recon.models import create, get_card
    from recon.models.card import CONSISTENCY_WORDS
    from recon.models.parameters import parameters_of
    from recon.models.size import size_text

    if Path(arguments.name).suffix == ".safetensors":
        return _show_file(Path(arguments.name), as_json=arguments.json)
    card = get_card(arguments.name)
    n_coils = card.weights[0].n_coils if card.weights else 1
    n_parameters = 0 if card.problem else sum(one.numel() for one in create(card.name, n_coils).parameters())
    if arguments.json:
        write_json(card.to_dict() | {"n_parameters": n_parameters, "n_parameters_for_coils": n_coils})
        return 0
    write_line(f"{card.title} ({card.name})\n{card.summary}\n")
    rows: list[tuple[str, Any]] = [("paper", card.paper), ("state", card.problem or _state(card))]
    if not card.problem:
        rows.append(("data consistency", CONSISTENCY_WORDS[card.data_consistency]))
    if card.source:
        rows.append(("plug-in of", card.source))
    preferred = _that_run(card)
    if n_parameters:
        name = "paper's size" if card.weights and card.is_paper_size else "size"
        rows.append((name, f"{n_parameters:,} parameters with {n_coils} coil{'s' if n_coils != 1 else ''}"))
        rows += [(weights.path.stem, size_text(card, weights)) for weights in preferred]
    if card.needs_training or card.problem:
        rows += [(name.replace("_", " "), value_text(value)) for name, value in card.parameters_for(n_coils).items()]
    write_line(table(rows, indent="  "))
    settable = () if card.needs_training or card.problem else parameters_of(card)
    if settable:
        write_line("\nparameters (reconstruct --set NAME=VALUE)")
        write_line(table([(item.name, item.show(item.value) or "auto", item.help) for item in settable], indent="  "))
    for weights in card.weights:
        use = "" if weights in preferred else f"; used where it is named: --model {weights.path}"
        write_line(f"\nweights {weights.path.name} ({'bundled' if weights.is_bundled else 'yours'}{use})")
        _tell(card, weights)
    return 0


def _show_file(path: Path, *, as_json: bool) -> int:
    from recon.models import get_card
    from recon.weights import read_header

    weights = read_header(path)
    if as_json:
        write_json(weights.to_dict())
        return 0
    card = get_card(weights.preset)
    write_line(f"weights {path} of {card.title} ({card.name})\n{card.summary}\n")
    _tell(card, weights)
    return 0


def _tell(card: ModelCard, weights: Weights) -> None:
    from recon.models.size import size_text

    write_line(f"  {size_text(card, weights)}")
    write_line(story_text(weights.story))


def _install(arguments: argparse.Namespace) -> int:
    from recon.export.atomic import atomic_file
    from recon.models import load_weights
    from recon.weights import read_header, user_folder

    weights = read_header(arguments.file)
    load_weights(weights)  # checks the hash, and that the numbers fit the model
    target = user_folder() / f"{arguments.file.stem}.safetensors"
    if not (target.exists() and target.samefile(arguments.file)):
        if not arguments.replace:
            _spare(target, weights)
        with atomic_file(target) as temporary:
            shutil.copyfile(arguments.file, temporary)
    if weights.warning and not arguments.quiet:
        sys.stderr.write(f"warning: on their own validation slices these weights are {weights.warning}.\n")
    if arguments.json:
        write_json({"installed": str(target), "warning": weights.warning, **read_header(target).to_dict()})
    else:
        write_line(f"installed {weights.preset} for {weights.n_coils} coil(s): {target}")
    return 0


def _spare(target: Path, weights: Weights) -> None:
    """Refuse to write over weights that took somebody a night."""
    from recon.weights import read_header

    try:
        there = read_header(target)
    except MRIError:
        return  # nothing, or nothing that can be used
    if there.sha256 != weights.sha256:
        raise ModelError(
            f"{target}: other weights of this name are there, {there.preset} for {there.n_coils} coil(s); give yours "
            "another name, or replace them with --replace."
        )


def _verify(arguments: argparse.Namespace) -> int:
    files = arguments.files or _weight_files()
    results = [_check(path) for path in files]
    if arguments.json:
        write_json(results)
    elif not results:
        write_line("there are no weights to verify; `models install FILE` adds some.")
    else:
        rows = [("ok" if item["ok"] else "BAD", item["file"], item["problem"] or item["sha256"]) for item in results]
        write_line(table(rows))
    return 0 if all(item["ok"] for item in results) else ModelError.exit_status


def _weight_files() -> list[Path]:
    from recon.models.card import RESOURCES
    from recon.weights import user_folder

    return [path for folder in (RESOURCES / "weights", user_folder()) for path in sorted(folder.glob("*.safetensors"))]


def _check(path: Path) -> dict[str, Any]:
    from recon.models import load_weights
    from recon.weights import read_header

    weights: Weights | None = None
    try:
        weights = read_header(path)
        load_weights(weights)
    except ModelError as error:
        problem = str(error).removeprefix(f"{path}: ")
        return {"file": str(path), "ok": False, "problem": problem, "sha256": weights and weights.sha256}
    return {"file": str(path), "ok": True, "problem": None, "sha256": weights.sha256}
