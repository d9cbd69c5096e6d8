"""Write stored reconstructions in more formats.

RESULT is the .h5 file that `reconstruct` wrote, or the .json record beside it. The new files and their record go beside
it, or to DIR. The figure, movies, and DICOM files of a DICOM scan need the scan: it is looked for where it was. A movie
of the iterations is there where they were stored: `reconstruct --stages`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from app.commands.reconstruct import FORMATS, check_folder, formats
from app.output import write_json, write_line
from app.progress import Progress
from recon.batch import report

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("results", nargs="+", metavar="RESULT", type=Path, help=".h5 file of a result, or its record")
    parser.add_argument(
        "--format",
        action="append",
        type=formats,
        metavar="LIST",
        required=True,
        help=f"{', '.join(FORMATS)}; repeat or separate by commas",
    )
    parser.add_argument("--scan", type=Path, metavar="PATH", help="the scan, where it is not where it was")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: beside the result")
    parser.add_argument("--json", action="store_true", help="write the list of the records to stdout")


def run(arguments: argparse.Namespace) -> int:
    """Write every result in every format."""
    from recon.export import stored

    wanted = list(dict.fromkeys(name for part in arguments.format for name in part))
    if arguments.out is not None:
        check_folder(arguments.out)
    status = 0
    records = []
    with Progress.of(arguments) as progress:
        for position, path in enumerate(arguments.results):
            progress.update(path.name, position / len(arguments.results))
            problems: list[Exception] = []
            written: list[Path] = []
            try:
                result = stored.read(path, arguments.scan)
                written = result.export(arguments.out or result.path.parent, wanted, problems)
                records += [json.loads(record.read_text("utf-8")) for record in written[-1:]]
            except Exception as error:  # noqa: BLE001  one bad file must not stop the others
                problems.append(error)
            if written and not (arguments.json or arguments.quiet):
                write_line("\n".join(map(str, written)))
            status = max([status, *(report(error, path)[1] for error in problems)])
    if arguments.json:
        write_json(records)
    return status
