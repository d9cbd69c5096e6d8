"""Measure speed and memory: start-up, scrolling, opening, coils, compressed sensing, every network, training.

Each row is compared with an anchor that is measured in the same run, so that ratios hold on other machines too. The
exit status is 1 when a measurement could not be made; a goal that is missed is reported, not an error."""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from app.output import count, table, write_json, write_line
from app.progress import Progress
from recon.errors import MRIError

if TYPE_CHECKING:
    import argparse

    from app.bench import Row

logger = logging.getLogger(__name__)

_HEADER = ("what", "value", "against", "ratio", "goal", "verdict", "note")
_VERDICTS = {True: "met", False: "MISSED", None: "–"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="write JSON to stdout")
    form.add_argument("--markdown", action="store_true", help="write a Markdown table to stdout")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions and networks, smaller images")
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        help="window, opening, coils, compressed-sensing, networks or training, one measurement of these, or a network "
        "by its name; repeatable",
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
    with Progress.of(arguments) as progress:
        for position, name in enumerate(names):
            progress.update(f"measuring {name} ({position + 1} of {len(names)})", position / len(names))
            started = time.monotonic()
            try:
                rows += measure(name, quick=arguments.quick)
            except MRIError as error:
                sys.stderr.write(f"mri-workstation: error: {error}\n")
                status = error.exit_status
            logger.debug("%s (%d of %d) took %.0f s", name, position + 1, len(names), time.monotonic() - started)
    if arguments.json:
        write_json([asdict(row) for row in rows])
        return status
    write_line(as_markdown(rows) if arguments.markdown else as_text(rows))
    if not arguments.quiet:
        sys.stderr.write(f"{summary(rows)}\n")
    return status


def as_text(rows: list[Row]) -> str:
    """Return the rows as a table."""
    return table(map(_cells, rows), _HEADER)


def as_markdown(rows: list[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = [_HEADER, ("---",) * len(_HEADER), *map(_cells, rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def summary(rows: list[Row]) -> str:
    """Say how many goals are met, and name those that are missed."""
    missed = [row.name for row in rows if row.met is False]
    n_met = sum(row.met is True for row in rows)
    rest = len(rows) - n_met - len(missed)
    names = f": {'; '.join(missed)}" if missed else ""
    other = f" {count(rest, 'row')} without a verdict on this machine." if rest else ""
    return f"{count(n_met, 'goal')} met, {len(missed)} missed{names}.{other}"


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        "–" if row.value is None else f"{row.value:.3g} {row.unit}".strip(),
        row.anchor,
        "" if row.ratio is None else f"{row.ratio:.2f}",
        row.goal,
        _VERDICTS[row.met],
        row.note,
    )
