"""Measure speed and memory: start-up, scrolling, opening, coils, compressed sensing, every network.

Each row is compared with an anchor that is measured in the same run, so that ratios hold on other machines too. The
exit status is 1 when a measurement could not be made; a goal that is missed is reported, not an error."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from app.output import table, write_json, write_line
from app.progress import Progress
from recon.errors import MRIError

if TYPE_CHECKING:
    import argparse

    from app.bench import Row


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--json", action="store_true", help="write JSON to stdout")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions and networks, smaller images")
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        help="window, scrolling, opening, coils, maps, compression, compressed-sensing, precision, networks, or the "
        "name of a network; repeatable",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the measurements one after another."""
    from app.bench import measure, select

    try:
        names = select(arguments.only, quick=arguments.quick)
    except MRIError as error:
        sys.stderr.write(f"mri-workstation: error: {error}\n")
        return 2
    rows: list[Row] = []
    status = 0
    with Progress(enabled=False if arguments.quiet else None) as progress:
        for position, name in enumerate(names):
            progress.update(f"measuring {name}", position / len(names))
            try:
                rows += measure(name, quick=arguments.quick)
            except MRIError as error:
                sys.stderr.write(f"mri-workstation: error: {error}\n")
                status = error.exit_status
    if arguments.json:
        write_json([asdict(row) for row in rows])
    else:
        write_line(as_text(rows))
    return status


def as_text(rows: list[Row]) -> str:
    """Return the rows as a table."""
    marks = {True: "yes", False: "NO", None: "–"}
    cells = [
        (
            row.name,
            "–" if row.value is None else f"{row.value:.3g} {row.unit}".strip(),
            row.anchor,
            "" if row.ratio is None else f"{row.ratio:.2f}",
            row.goal,
            marks[row.met],
            row.note,
        )
        for row in rows
    ]
    return table(cells, ("what", "value", "against", "ratio", "goal", "met", "note"))
