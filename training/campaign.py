"""Train many methods at one budget on the same data, and compare them on the same scans.

    python -m training.campaign --images FILE.h5 --minutes 10 --out DIR [--model NAME …] [--score SCAN.h5 …]

Each method gets a run folder; the smallest network comes first. The same command goes on where it was stopped: what is
finished stays, what was interrupted resumes. DIR gets campaign.md and campaign.csv.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from recon import models, weights
from recon.errors import FileError, MRIError, RequestError, needs_package
from recon.export.atomic import atomic_file
from training.config import PRESETS, from_dict, read_config, read_values
from training.score import KINDS, score, write_scores

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from training.config import TrainingConfig

# What has to be the same for all methods for their scores to be compared; a recipe's loss and rate are its own.
_OF_DATA = (
    "n_coils", "sizes", "accelerations", "mask_kinds", "noise", "phase_scale", "tissue_phase", "field_phase",
    "max_simulated_coils", "contrast", "grid", "target", "validation_share", "split_seed", "validation_slices",
    "max_validation_volumes", "seed",
)  # fmt: skip
_BASE = "pcrnn-quick"
_N_VALIDATIONS = 4


@dataclass(frozen=True)
class Entry:
    """One training of a campaign.

    Attributes
    ----------
    name
        Of its run folder.
    recipe
        It begins with this one.
    settings
        What replaces its values.
    """

    name: str
    recipe: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def texts(self) -> list[str]:
        """The settings as ``key=value``."""
        return [f"{key}={_toml(value)}" for key, value in self.settings.items()]

    @property
    def config(self) -> TrainingConfig:
        """The recipe that they make."""
        return from_dict(read_values(self.recipe, self.texts))


def list_methods() -> list[str]:
    """Return the methods that are compared when none are named: those with a quick recipe, at the recipe's size."""
    return list(dict.fromkeys(read_config(path).model for path in sorted(PRESETS.glob("*-quick.toml"))))


def recipe_for(model: str) -> tuple[str, dict[str, Any]]:
    """Return the quick recipe of a method and what has to be changed; one without gets that of PC-RNN.

    Raises
    ------
    ModelError
        If there is no such method.
    """
    name = models.get_card(model).name
    for path in sorted(PRESETS.glob("*-quick.toml")):
        if read_config(path).model == name:
            return path.stem, {}
    return _BASE, {"model": name}


def budget(minutes: float | None, samples: int | None) -> dict[str, Any]:
    """Return the settings of a budget: wall time, or samples of the stream, which is the same for all methods.

    Raises
    ------
    RequestError
        If it is empty.
    """
    if samples is not None:
        if samples < _N_VALIDATIONS:
            raise RequestError(f"a budget of {samples} samples is too small; give at least {_N_VALIDATIONS}.")
        return {"minutes": 0.0, "epochs": _N_VALIDATIONS, "samples_per_epoch": samples // _N_VALIDATIONS}
    minutes = 10.0 if minutes is None else minutes
    if minutes <= 0:
        raise RequestError(f"a budget of {minutes:g} minutes trains nothing; give more.")
    return {"minutes": float(minutes)}


def make_entries(names: Sequence[str], common: Mapping[str, Any], base: str | None = None) -> list[Entry]:
    """Return a training for each method, the smallest network first.

    Parameters
    ----------
    names
        Methods.
    common
        Settings for all of them: data and budget.
    base
        Recipe for all of them; None takes each method's own, with the data of PC-RNN's.
    """
    like = read_config(base or _BASE).to_dict()
    data = {key: list(like[key]) if isinstance(like[key], tuple) else like[key] for key in _OF_DATA}
    entries = []
    for name in dict.fromkeys(models.get_card(name).name for name in names):
        recipe, changes = (base, {"model": name}) if base else recipe_for(name)
        entries.append(Entry(name, recipe, {**changes, **data, **common}))
    return sorted(entries, key=lambda entry: _n_parameters(entry.config))


def train_all(
    entries: Sequence[Entry], out: Path, devices: str = "auto", quiet: bool = False
) -> tuple[dict[str, Path], dict[str, str]]:
    """Train what is not trained yet.

    Parameters
    ----------
    entries
        The trainings, in order.
    out
        Folder of the run folders.
    devices
        See `training.devices.choose_devices`.
    quiet
        Say nothing of the progress.

    Returns
    -------
    Weights by name, and why there are none for the rest: a method that fails stops no other.

    Raises
    ------
    RequestError
        If a finished run was trained by another recipe.
    MissingPackageError
        If lightning is not installed.
    KeyboardInterrupt
        If the user ended it; the same call goes on.
    """
    from training.run import CHECKPOINT, main

    with needs_package("train"):
        from training.interruption import Stopped
    found: dict[str, Path] = {}
    problems: dict[str, str] = {}
    for number, entry in enumerate(entries, 1):
        run = out / entry.name
        finished = sorted(run.glob("*.safetensors"))
        if finished:
            _check_same(run, entry)
            found[entry.name] = finished[0]
            continue
        if not quiet:
            sys.stderr.write(f"{number} of {len(entries)}: {entry.name}\n")
        try:
            resume = (run / CHECKPOINT).exists()
            published = main(
                entry.recipe, run, settings=entry.texts, resume=resume, devices=devices, report=None if quiet else _say
            )
        except Stopped:
            raise KeyboardInterrupt from None
        except MRIError as error:
            problems[entry.name] = str(error)
            sys.stderr.write(f"{entry.name}: {error}\n")
        else:
            if published is not None:
                found[entry.name] = published
    return found, problems


def score_all(
    found: Mapping[str, Path], scans: Sequence[Path], accelerations: Sequence[float]
) -> tuple[dict[str, dict[str, Any]], str, dict[str, str]]:
    """Score weights on scans where their header does not hold these scores yet.

    Returns
    -------
    Means by name, over what every method could score, so that they compare; what that leaves out, as a sentence for a
    table; and why a method has no score at all, by name.

    Raises
    ------
    MRIError
        If a scan cannot be read or has no reference.
    """
    wanted = {(scan.stem, kind, float(value)) for scan in scans for kind in KINDS for value in accelerations}
    scored: dict[str, dict[tuple[str, str, float], Mapping[str, Any]]] = {}
    refused: dict[str, str] = {}
    for name, path in found.items():
        known = weights.read_header(path)
        rows = by_case(known.story.get("scores", ()))
        if not wanted <= rows.keys():
            try:
                fresh = score(path, scans, accelerations)
            except RequestError as error:
                refused[name] = f"not scored: {error}"
                continue
            write_scores(known, fresh)
            rows = by_case(fresh)
        scored[name] = rows
    common = wanted.intersection(*scored.values())
    left_out = [f"{scan}, {kind} {value:g}x" for scan, kind, value in sorted(wanted - common)]
    text = f" Left out, because not every method can use the mask: {'; '.join(left_out)}." if left_out else ""
    means = {name: mean_scores([rows[case] for case in sorted(common)]) for name, rows in scored.items()}
    return means, text, refused


def by_case(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str, float], Mapping[str, Any]]:
    """Return rows of `training.score.score` by scan, mask and acceleration."""
    return {(row["scan"], row["mask"], float(row["acceleration"])): row for row in rows}


def mean_scores(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return means over scans, masks and accelerations of rows of `training.score.score`, each row counting once."""
    names = ("psnr", "ssim", "zero_filled_psnr", "zero_filled_ssim")
    return {name: sum(row[name]["mean"] for row in rows) / len(rows) for name in names} if rows else {}


def lines_of(
    entries: Sequence[Entry],
    found: Mapping[str, Path],
    scores: Mapping[str, Mapping[str, Any]],
    problems: Mapping[str, str],
) -> list[dict[str, Any]]:
    """Return a line for each training: size, length, validation, mean scores on the scans, problem."""
    lines = []
    for entry in entries:
        line: dict[str, Any] = {"method": entry.name, "problem": problems.get(entry.name, "")}
        if entry.name in found:
            story = weights.read_header(found[entry.name]).story
            line |= {"steps": story["steps"], "seconds": story["seconds"], "device": story["device"]}
            line |= {f"validation_{name}": value for name, value in story["validation"].items()}
        line |= {"parameters": _n_parameters(entry.config), **scores.get(entry.name, {})}
        lines.append(line)
    return lines


def write_csv(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Write lines as CSV; columns in the order in which they first appear."""
    columns = list(dict.fromkeys(name for line in lines for name in line))
    with atomic_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def number(value: float | None, digits: int) -> str:
    """Return a number for a table; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def table(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return lines as a Markdown table, the best scores first."""
    rows = [
        "| method | parameters | steps | minutes | validation PSNR | scans PSNR | scans SSIM | zero-filled PSNR |",
        "|---|---|---|---|---|---|---|---|",
    ]
    ordered = sorted(lines, key=lambda line: -line.get("psnr", line.get("validation_psnr", -1e9)))
    for line in ordered:
        minutes = None if "seconds" not in line else line["seconds"] / 60
        cells = [line["method"], f"{line['parameters']:,}", number(line.get("steps"), 0), number(minutes, 1)]
        cells += [number(line.get(key), 2) for key in ("validation_psnr", "psnr")]
        cells += [number(line.get("ssim"), 4), number(line.get("zero_filled_psnr"), 2)]
        rows.append(f"| {' | '.join(cells)} |")
    rows += [f"\n{line['method']}: {line['problem']}" for line in ordered if line["problem"]]
    return "\n".join(rows)


def describe(common: Mapping[str, Any], scans: Sequence[Path], accelerations: Sequence[float]) -> str:
    """Return in words what a table compares."""
    source = Path(str(common.get("images") or common.get("kspace"))).name
    kind = "k-space simulated from" if common.get("images") else "the scans of"
    if common.get("minutes"):
        length = f"{common['minutes']:g} minutes each"
    else:
        length = f"{common['epochs'] * common['samples_per_epoch']} samples each, the same ones"
    text = f"Trained here for {length}, on {kind} {source}."
    if scans:
        factors = " and ".join(f"{value:g}x" for value in accelerations)
        text += (
            f" Scores are means over {', '.join(scan.stem for scan in scans)} at {factors} with masks of the kinds "
            f"{' and '.join(KINDS)}, several patterns each."
        )
    return text


def _check_same(run: Path, entry: Entry) -> None:
    try:
        stored = json.loads((run / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        raise FileError(run, "holds weights but no readable config.json; give another folder.") from None
    wanted = json.loads(json.dumps(entry.config.to_dict()))
    changed = [f"{key} {stored.get(key)} → {value}" for key, value in wanted.items() if stored.get(key) != value]
    if changed:
        raise RequestError(f"{run} was trained by another recipe ({'; '.join(changed)}); give another folder.")


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


def _n_parameters(config: TrainingConfig) -> int:
    with torch.device("meta"):
        return models.create(config.model, config.n_coils, **config.overrides).n_parameters


def _say(event: dict[str, Any]) -> None:
    if event["event"] == "validation":
        sys.stderr.write(f"  {event['share']:.0%}: PSNR {event['psnr']:.2f} dB\n")


def add_common(parser: argparse.ArgumentParser) -> None:
    """Declare what campaigns and ablations share."""
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--images", type=Path, help="magnitude images whose k-space is simulated")
    data.add_argument("--kspace", type=Path, help="folder of fully sampled raw data")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, help="wall time of each training (default: 10)")
    length.add_argument("--samples", type=int, help="samples of each training instead, the same ones for all")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs and tables")
    parser.add_argument("--score", type=Path, nargs="+", default=[], metavar="SCAN", help="fully sampled scans")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="replace a value of all recipes"
    )
    parser.add_argument("--devices", default="auto", help="as for mri-workstation train")
    parser.add_argument("--quiet", action="store_true")


def common_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the options of `add_common` set for all trainings."""
    source = (
        {"images": str(options.images.absolute())} if options.images else {"kspace": str(options.kspace.absolute())}
    )
    return source | budget(options.minutes, options.samples) | read_values(None, options.set)


def guarded(work: Callable[[], int]) -> int:
    """Run a command's work; errors become a sentence and an exit status."""
    try:
        return work()
    except MRIError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_status
    except KeyboardInterrupt:
        sys.stderr.write("stopped; the same command goes on.\n")
        return 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a campaign from the shell."""
    parser = argparse.ArgumentParser(
        prog="python -m training.campaign",
        description="Train methods at one budget on the same data, and compare them.",
    )
    parser.add_argument(
        "--model", action="append", metavar="NAME", help="repeatable (default: all with a quick recipe)"
    )
    parser.add_argument("--acceleration", type=float, action="append", metavar="R", help="of the scores (default: 4)")
    add_common(parser)
    options = parser.parse_args(arguments)

    def work() -> int:
        common, accelerations = common_settings(options), options.acceleration or [4.0]
        entries = make_entries(options.model or list_methods(), common)
        found, problems = train_all(entries, options.out, options.devices, options.quiet)
        scores, left_out, refused = score_all(found, options.score, accelerations) if options.score else ({}, "", {})
        problems |= refused
        lines = lines_of(entries, found, scores, problems)
        text = f"{describe(common, options.score, accelerations)}{left_out}\n\n{table(lines)}\n"
        write_csv(options.out / "campaign.csv", lines)
        with atomic_file(options.out / "campaign.md") as temporary:
            temporary.write_text(text, "utf-8")
        sys.stdout.write(text)
        return 1 if problems else 0

    return guarded(work)


if __name__ == "__main__":
    sys.exit(main())
