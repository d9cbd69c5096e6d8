"""Score weights on fully sampled scans, and write the scores into their header.

    python -m training.score WEIGHTS.safetensors SCAN.h5 … [--join-coils] [--write]

Every scan is undersampled with several seeds of each mask type and acceleration, reconstructed by the same pipeline as
in the window, and compared with its fully sampled reference. n counts masks, not subjects: the spread says how much
depends on the mask, nothing about how much depends on the patient.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import recon
from recon import models, weights
from recon.errors import FileError, MRIError, RequestError
from recon.models import requirements
from recon.request import JOIN_WEIGHT
from recon.sampling import sampling_mask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recon.data import Series
    from recon.request import Request

KINDS = ("random", "equispaced-fraction")
N_SEEDS = 5


def score(
    path: Path, scans: Sequence[Path], accelerations: Sequence[float], join_coils: float | None = None
) -> list[dict[str, Any]]:
    """Return one row for each scan, mask type and acceleration.

    Parameters
    ----------
    path
        Weights.
    scans
        Files with a fully sampled scan each.
    accelerations
        To try.
    join_coils
        See `recon.request.Request`.

    Returns
    -------
    Rows with scan, licence, mask, acceleration, n, and mean and standard deviation of PSNR (dB), SSIM and NMSE of the
    reconstruction and of zero filling. Where the method cannot use a mask, such as one with too few centre lines for
    sensitivity maps, stderr says so and there is no row.

    Raises
    ------
    MRIError
        If a scan cannot be read or has no reference, or if the method can use no mask at all.
    """
    rows = []
    refusals = []
    for scan in scans:
        series = recon.open_study(scan).series[0]
        if series.reference is None:
            raise FileError(scan, "has no reference; scores need a fully sampled scan.")
        for kind, acceleration in product(KINDS, accelerations):
            try:
                _check(path, series, kind, acceleration, join_coils)
            except RequestError as error:
                refusals.append(error)
                sys.stderr.write(f"{path.name}, {series.stem}, {kind} {acceleration:g}x: {error}\n")
                continue
            values = _values(path, series, kind, acceleration, join_coils)
            row: dict[str, Any] = {
                "scan": series.stem,
                "licence": series.header.licence,
                "mask": kind,
                "acceleration": acceleration,
                "n": N_SEEDS,
            }
            rows.append(row | {metric: _spread(numbers) for metric, numbers in values.items()})
    if refusals and not rows:
        raise refusals[-1]
    return rows


def _request(path: Path, kind: str, acceleration: float, seed: int, join_coils: float | None) -> Request:
    return recon.Request(str(path), recon.MaskSpec(kind, acceleration, seed=seed), join_coils=join_coils)


def _check(path: Path, series: Series, kind: str, acceleration: float, join_coils: float | None) -> None:
    """Raise RequestError if the method cannot use such a mask; of a pattern that moves, each seed keeps other lines."""
    for seed in range(N_SEEDS):
        request = _request(path, kind, acceleration, seed, join_coils)
        fit = models.fit_coils(request.model, series.n_coils, None)
        assert fit.weights is not None
        card, joins_coils = models.get_card(fit.weights.preset), fit.coil_by_coil and join_coils is not None
        requirements.check(card, fit.n_virtual, sampling_mask(series, request), joins_coils=joins_coils)


def _values(
    path: Path, series: Series, kind: str, acceleration: float, join_coils: float | None
) -> dict[str, list[float]]:
    """Return the metrics of the reconstruction and of zero filling, a number for each seed."""
    values: dict[str, list[float]] = {}
    for seed in range(N_SEEDS):
        request = _request(path, kind, acceleration, seed, join_coils)
        result = recon.run(series, request, keep="none")
        for prefix, found in (("", result.metrics), ("zero_filled_", result.zero_filled_metrics)):
            for metric, numbers in (found or {}).items():
                values.setdefault(prefix + metric, []).append(float(numbers["volume"]))
    return values


def write_scores(known: weights.Weights, rows: Sequence[dict[str, Any]]) -> None:
    """Put scores into the header of weights."""
    weights.retell(known, {**known.story, "scores": list(rows)})


def _spread(numbers: Sequence[float]) -> dict[str, float]:
    array = np.asarray(numbers, np.float64)
    return {"mean": round(float(array.mean()), 4), "sd": round(float(array.std(ddof=1)), 4)}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows as a Markdown table."""
    lines = [
        "| scan | mask | R | zero-filled PSNR / SSIM | PSNR / SSIM | gain |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        start, end = row["zero_filled_psnr"]["mean"], row["psnr"]["mean"]
        before = f"{start:.2f} / {row['zero_filled_ssim']['mean']:.3f}"
        after = f"{end:.2f} ± {row['psnr']['sd']:.2f} / {row['ssim']['mean']:.3f}"
        lines.append(
            f"| {row['scan']} | {row['mask']} | {row['acceleration']:g} | {before} | {after} | {end - start:+.2f} dB |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Score and print; with ``--write`` put the rows into the weights' header."""
    parser = argparse.ArgumentParser(
        prog="python -m training.score", description="Score weights on fully sampled scans."
    )
    parser.add_argument("weights", type=Path, help="a .safetensors file")
    parser.add_argument("scans", type=Path, nargs="+", help="fully sampled scans that no training saw")
    parser.add_argument(
        "--acceleration", type=float, action="append", help="repeatable; by default those that the weights know"
    )
    parser.add_argument(
        "--join-coils",
        nargs="?",
        const=JOIN_WEIGHT,
        type=float,
        metavar="WEIGHT",
        help="of a single-coil network: join the coils that it took one by one (default WEIGHT: %(const)s)",
    )
    parser.add_argument("--write", action="store_true", help="store the scores in the header of the weights")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON instead of a table")
    options = parser.parse_args(arguments)
    if options.write and options.join_coils is not None:
        parser.error("--write stores the scores of the network itself; leave out --join-coils")
    try:
        known = weights.read_header(options.weights)
        accelerations = options.acceleration or [float(value) for value in known.story.get("accelerations", [4])]
        rows = score(options.weights, options.scans, accelerations, options.join_coils)
        if options.write:
            write_scores(known, rows)
    except MRIError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_status
    sys.stdout.write((json.dumps(rows, indent=2) if options.json else table(rows)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
