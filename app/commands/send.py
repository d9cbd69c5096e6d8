"""Send DICOM files to a PACS, and say what became of each.

PATH is a DICOM file, a folder of a series, or a folder that holds such folders, as `reconstruct --out` makes it. Files
go as they are, with the patient that they name; other files, such as records, are passed over. Research use only."""

from __future__ import annotations

import argparse
import logging
import math
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.ending import ended_by_signals
from app.output import count, write_json, write_line
from app.progress import Progress
from recon.errors import NetworkError, RequestError
from recon.export.pacs import OWN_AE_TITLE, TIMEOUT_S, Destination, Report, checked_ae_title, echo, send

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recon.export.pacs.instances import Findings

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("paths", nargs="*", metavar="PATH", type=Path, help="DICOM file, or folder of such files")
    parser.add_argument(
        "--to",
        type=_destination,
        required=True,
        metavar="AET@HOST:PORT",
        help="the PACS: its AE title, host and port, such as PACS@192.168.1.10:104",
    )
    parser.add_argument(
        "--from",
        dest="calling",
        type=_ae_title,
        default=OWN_AE_TITLE,
        metavar="AET",
        help="AE title of this program, which the PACS may have to know (default: %(default)s)",
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=TIMEOUT_S,
        metavar="SECONDS",
        help="how long the PACS may be silent (default: %(default)g)",
    )
    parser.add_argument("--verify", action="store_true", help="only ask whether the PACS answers (C-ECHO); no PATH")
    parser.add_argument("--json", action="store_true", help="write the list of all instances and the summary to stdout")


def run(arguments: argparse.Namespace) -> int:
    """Send what the paths hold, or ask whether the PACS answers."""
    if arguments.verify:
        return _verify(arguments)
    if not arguments.paths:
        raise RequestError("there is nothing to send; give DICOM files or folders, or --verify to ask for an answer.")
    from recon.export.pacs import instances

    reports: list[Report] = []
    failure = ""
    with Progress.of(arguments) as progress:
        progress.update("looking for DICOM files", 0.0)
        findings = instances.find(arguments.paths, lambda path: progress.update(f"looking at {path.name}", 0.0))
        n_instances = len(findings.instances)
        try:
            stream = send(findings.instances, arguments.to, calling=arguments.calling, timeout_s=arguments.timeout)
            with ended_by_signals(), closing(stream):  # type: ignore[type-var]
                for report in stream:
                    reports.append(report)
                    progress.update(f"sending to {arguments.to}", len(reports) / n_instances)
        except NetworkError as error:
            failure = str(error)
        except KeyboardInterrupt as interrupt:
            stored = sum(report.is_stored for report in reports)
            how_far = f"stored {stored} of {count(n_instances, 'instance')}"
            interrupt.args = (f"{str(interrupt) or 'interrupted'}; {how_far}",)
            if arguments.json:
                _write_json(_complete(reports, findings, "interrupted"), findings, arguments)
            raise
    _show(_complete(reports, findings, failure), findings, failure, arguments)
    return max((2 if findings.damaged else 0), int(not all(report.is_stored for report in reports) or bool(failure)))


def _verify(arguments: argparse.Namespace) -> int:
    if arguments.paths:
        raise RequestError("--verify sends nothing; leave the paths out, or leave --verify out to send them.")
    with ended_by_signals():
        seconds = echo(arguments.to, calling=arguments.calling, timeout_s=arguments.timeout)
    if arguments.json:
        write_json({"destination": str(arguments.to), "calling": arguments.calling, "seconds": round(seconds, 4)})
    elif not arguments.quiet:
        write_line(f"{arguments.to} answers {arguments.calling} ({1000 * seconds:.0f} ms)")
    return 0


def _complete(reports: Sequence[Report], findings: Findings, why: str) -> list[Report]:
    """What became of every DICOM file that was found, also of those that nothing was tried with."""
    tried = {report.path for report in reports}
    lacking = [
        Report(one.path, one.sop_instance_uid, "not sent", comment=why)
        for one in findings.instances
        if one.path not in tried
    ]
    damaged = [
        Report(Path(error.path), "", "not sent", comment=f"the file {error.problem}") for error in findings.damaged
    ]
    return [*reports, *lacking, *damaged]


def _show(reports: Sequence[Report], findings: Findings, failure: str, arguments: argparse.Namespace) -> None:
    """Write the reports where they are wanted; what failed is also said on stderr, in a line."""
    summary = summarise(reports, str(arguments.to))
    if arguments.json:
        _write_json(reports, findings, arguments)
    elif not arguments.quiet and not failure:
        for report in reports:
            if report.state != "stored":
                write_line(f"{report.path}: {report.sentence}")
    if failure:
        logger.error("error: %s", failure)
    elif not all(report.is_stored for report in reports):
        logger.error("error: %s", summary)
    elif not (arguments.json or arguments.quiet):
        others = f"; {count(findings.n_others, 'other file')} passed over" if findings.n_others else ""
        write_line(f"{summary}{others}")


def summarise(reports: Sequence[Report], destination: str) -> str:
    """Return how many instances are stored and what became of the others, in a line without a stop."""
    states = [report.state for report in reports]
    stored = sum(report.is_stored for report in reports)
    warned = states.count("stored with a warning")
    parts = [f"{states.count(state)} {state}" for state in ("refused", "not sent") if state in states]
    number = (
        count(len(states), "instance") if stored == len(states) else f"{stored} of {count(len(states), 'instance')}"
    )
    return ", ".join([f"{number} stored at {destination}" + (f" ({warned} with a warning)" if warned else ""), *parts])


def _write_json(reports: Sequence[Report], findings: Findings, arguments: argparse.Namespace) -> None:
    states = [report.state for report in reports]
    write_json(
        {
            "destination": str(arguments.to),
            "calling": arguments.calling,
            "instances": [_plain(report) for report in reports],
            "summary": {
                "instances": len(states),
                "stored": sum(report.is_stored for report in reports),
                "stored_with_a_warning": states.count("stored with a warning"),
                "refused": states.count("refused"),
                "not_sent": states.count("not sent"),
                "passed_over": findings.n_others,
            },
        }
    )


def _plain(report: Report) -> dict[str, Any]:
    return {
        "path": str(report.path),
        "sop_instance_uid": report.sop_instance_uid,
        "state": report.state,
        "status": None if report.status is None else f"0x{report.status:04X}",
        "comment": report.comment,
    }


def _destination(text: str) -> Destination:
    try:
        return Destination.from_text(text)
    except RequestError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _ae_title(text: str) -> str:
    try:
        return checked_ae_title(text)
    except RequestError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _seconds(text: str) -> float:
    with_unit = text.removesuffix("s").strip()
    try:
        seconds = float(with_unit)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; give seconds above 0, such as 30")
    return seconds
