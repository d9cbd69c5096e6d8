"""The papers' ablations at small scale, each by one command, beside the papers' numbers.

    python -m training.ablation table-vii --images FILE.h5 --samples 2000 --score SCAN.h5 … --out DIR
    python -m training.ablation table-2   --images FILE.h5 --samples 2000 --score SCAN.h5 … --out DIR
    python -m training.ablation table-vi  --weights FILE.safetensors --score SCAN.h5 … --out DIR

``table-vii`` (PC-RNN: which modules, in which order) and ``table-2`` (OUCR: which modules, with and without a refine
module) train every variant on the same samples; the same command goes on where it was stopped. ``table-vi`` scores what
each ConvRNN of trained weights puts out by itself. ``table-iii`` and ``table-iv`` (number of virtual coils) need no
training: they are a study of ``mri-workstation evaluate``, and say the command.
"""

from __future__ import annotations

import argparse
import csv
import shlex
import sys
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import recon
from recon import metrics
from recon.errors import RequestError
from recon.export.atomic import atomic_file
from training import campaign
from training.campaign import number
from training.score import KINDS, N_SEEDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PAPERS = Path(__file__).resolve().parent.parent / "resources" / "papers" / "ablations.csv"
_ACCELERATION = 4.0
_BASES = {"table-vii": "pcrnn-quick", "table-2": "oucr-quick"}
_OTHER_DATA = (
    "The papers' numbers are of other data (fastMRI, HPKS), many times more of it, and of days of GPUs. Compare the "
    "order of the rows and the distances between them, not the numbers."
)


def paper_rows(table: str, acceleration: float = _ACCELERATION) -> dict[str, dict[str, tuple[float, float]]]:
    """Return what a paper prints: PSNR and SSIM by method and data set, in the paper's order."""
    rows: dict[str, dict[str, tuple[float, float]]] = {}
    with PAPERS.open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            if line["table"] == table and float(line["acceleration"]) == acceleration:
                rows.setdefault(line["method"], {})[line["dataset"]] = float(line["psnr"]), float(line["ssim"])
    return rows


def source_of(table: str) -> str:
    """Return where a table is printed."""
    with PAPERS.open(newline="", encoding="utf-8") as file:
        return next(line["source"] for line in csv.DictReader(file) if line["table"] == table)


def beside(
    table: str, ours: Mapping[str, Mapping[str, Any]], acceleration: float = _ACCELERATION
) -> tuple[str, list[dict[str, Any]]]:
    """Return our scores beside the paper's, as a Markdown table and as lines for CSV.

    Parameters
    ----------
    table
        Such as ``table-vii``.
    ours
        Mean ``psnr`` and ``ssim`` by method; what is missing is a dash.
    acceleration
        Column of the paper's table.
    """
    theirs = paper_rows(table, acceleration)
    datasets = list(dict.fromkeys(dataset for row in theirs.values() for dataset in row))
    printed = [f"paper, {dataset}: PSNR / SSIM" for dataset in datasets]
    lines = [f"| method | here: PSNR / SSIM | {' | '.join(printed)} |", "|---" * (2 + len(printed)) + "|"]
    rows = []
    for method, row in theirs.items():
        mine = ours.get(method, {})
        cells = [method, f"{number(mine.get('psnr'), 2)} / {number(mine.get('ssim'), 4)}"]
        cells += [f"{row[dataset][0]:.2f} / {row[dataset][1]:.4f}" for dataset in datasets]
        lines.append(f"| {' | '.join(cells)} |")
        values: dict[str, Any] = {"method": method, "psnr": mine.get("psnr"), "ssim": mine.get("ssim")}
        for dataset in datasets:
            key = dataset.lower().replace(" ", "_")
            values |= {f"paper_{key}_psnr": row[dataset][0], f"paper_{key}_ssim": row[dataset][1]}
        rows.append(values | {"acceleration": acceleration, "source": source_of(table)})
    return "\n".join(lines), rows


def score_modules(path: Path, scans: Sequence[Path], acceleration: float) -> dict[str, dict[str, float]]:
    """Return mean PSNR and SSIM of what each module of trained weights puts out last, and of the final image.

    Raises
    ------
    RequestError
        If a scan has no reference.
    """
    values: dict[str, list[tuple[float, float]]] = {}
    for scan in scans:
        series = recon.open_study(scan).series[0]
        if series.reference is None:
            raise RequestError(f"{scan} has no reference; scores need a fully sampled scan.")
        for kind, seed in product(KINDS, range(N_SEEDS)):
            request = recon.Request(str(path), recon.MaskSpec(kind, acceleration, seed=seed))
            result = recon.run(series, request, keep="modules")
            assert result.reference is not None
            for name, volume in (result.module_outputs() | {"final": result.final}).items():
                pair = metrics.psnr(result.reference, volume), metrics.ssim(result.reference, volume)
                values.setdefault(name, []).append(pair)
    means = {name: np.mean(pairs, axis=0) for name, pairs in values.items()}
    return {name: {"psnr": float(mean[0]), "ssim": float(mean[1])} for name, mean in means.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Make a table from the shell."""
    parser = argparse.ArgumentParser(
        prog="python -m training.ablation", description="The papers' ablations at small scale, beside their numbers."
    )
    tables = parser.add_subparsers(dest="table", required=True)
    for name in _BASES:
        one = tables.add_parser(name, help="train every variant, and compare")
        campaign.add_common(one)
        one.add_argument("--only", action="append", metavar="NAME", help="leave out the other variants; repeatable")
    modules = tables.add_parser("table-vi", help="what each ConvRNN puts out by itself")
    modules.add_argument("--weights", type=Path, required=True)
    modules.add_argument("--score", type=Path, nargs="+", required=True, metavar="SCAN")
    modules.add_argument("--acceleration", type=float, choices=(4.0, 6.0), default=_ACCELERATION)
    modules.add_argument("--out", type=Path, required=True)
    for name in ("table-iii", "table-iv"):
        tables.add_parser(name, help="say the command of the study of virtual coils").add_argument("scans", nargs="+")
    options = parser.parse_args(arguments)
    if options.table in ("table-iii", "table-iv"):
        command = ["mri-workstation", "evaluate", *options.scans, "--model", "pcrnn-s", "--coil-study", "4,8,12,16"]
        sys.stdout.write(f"{shlex.join(command)}\n")
        return 0
    return campaign.guarded(lambda: _modules(options) if options.table == "table-vi" else _train(options))


def _train(options: argparse.Namespace) -> int:
    common = campaign.common_settings(options)
    theirs = list(paper_rows(options.table))
    unknown = sorted(set(options.only or ()) - set(theirs))
    if unknown:
        raise RequestError(f"{options.table} has no variant {unknown[0]!r}; it has {', '.join(theirs)}.")
    entries = campaign.make_entries(options.only or theirs, common, base=_BASES[options.table])
    found, problems = campaign.train_all(entries, options.out, options.devices, options.quiet)
    if options.score:
        scores, where, refused = campaign.score_all(found, options.score, [_ACCELERATION])
        problems |= refused
    else:
        lines = campaign.lines_of(entries, found, {}, problems)
        scores = {
            line["method"]: {"psnr": line.get("validation_psnr"), "ssim": line.get("validation_ssim")} for line in lines
        }
        where = " Scores are those of the validation slices."
    about = campaign.describe(common, options.score, [_ACCELERATION]) + where
    _write(options, about, scores, _ACCELERATION, problems)
    return 1 if problems else 0


def _modules(options: argparse.Namespace) -> int:
    scores = score_modules(options.weights, options.score, options.acceleration)
    about = (
        f"What the modules of {options.weights.name} put out last, as means over "
        f"{', '.join(scan.stem for scan in options.score)} at {options.acceleration:g}x. In the paper only the final "
        "image was supervised; a recipe with module_loss_weight supervises each module too."
    )
    _write(options, about, scores, options.acceleration, {})
    return 0


def _write(
    options: argparse.Namespace,
    about: str,
    scores: Mapping[str, Mapping[str, Any]],
    acceleration: float,
    problems: Mapping[str, str],
) -> None:
    markdown, lines = beside(options.table, scores, acceleration)
    failed = "".join(f"\n{name}: {problem}\n" for name, problem in problems.items())
    text = f"{about} {_OTHER_DATA}\nPaper: {source_of(options.table)}.\n\n{markdown}\n{failed}"
    options.out.mkdir(parents=True, exist_ok=True)
    campaign.write_csv(options.out / f"{options.table}.csv", lines)
    with atomic_file(options.out / f"{options.table}.md") as temporary:
        temporary.write_text(text, "utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    sys.exit(main())
