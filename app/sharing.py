"""Who does the work of a command: this process, several that it starts, or those that torchrun or SLURM started."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.ending import ended_by_signals
from app.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recon.batch import Work


def add_processes(parser: argparse._ArgumentGroup) -> None:
    """Declare the option that shares volumes out."""
    parser.add_argument(
        "--processes",
        "--devices",
        type=_number,
        default=1,
        metavar="N",
        help="share the volumes out among N processes, one GPU each where there are GPUs (default: 1); "
        "inside torchrun and srun those decide",
    )


def is_shared() -> bool:
    """Tell whether torchrun or SLURM started this process as one of several."""
    from training.cluster import find_cluster

    return find_cluster() is not None


def is_first() -> bool:
    """Tell whether this process is the only one, or the first of those that torchrun or SLURM started."""
    from training.cluster import process_number

    return process_number() == 0


def process_all(work: Work, arguments: argparse.Namespace) -> None:
    """Do every item of a work in this process, one after another.

    Parameters
    ----------
    work
        What is done.
    arguments
        ``quiet``.
    """
    work.begin(0, None)
    costs = work.costs
    total = sum(costs) or 1.0
    done = 0.0
    with Progress.of(arguments) as progress:
        for item, cost in enumerate(costs):

            def show(text: str, share: float, done: float = done, cost: float = cost) -> None:
                progress.update(text, (done + share * cost) / total)

            if cost:
                work.process(item, show)
            done += cost


def share_out(job: Mapping[str, Any], arguments: argparse.Namespace) -> tuple[int, Any]:
    """Do a job with several processes.

    Parameters
    ----------
    job
        See `recon.batch.open_work`.
    arguments
        ``processes``, ``device``, ``quiet``, ``verbose``.

    Returns
    -------
    Exit status, and the outcome of the work; None in all processes but the first of a cluster.
    """
    from training import predict

    verbose = -1 if arguments.quiet else arguments.verbose
    with tempfile.TemporaryDirectory(prefix="mri-workstation-") as folder:
        path = Path(folder, "job.json")
        path.write_text(json.dumps(job), "utf-8")
        if is_shared():
            from recon.batch import open_work

            work = open_work(path)
            is_first, status = predict.run_job(work, processes=arguments.processes, device=arguments.device)
            return status, work.outcome() if is_first else None
        with ended_by_signals(), Progress.of(arguments) as progress:
            return predict.launch(path, arguments.processes, arguments.device, progress.update, verbose=verbose)


def _number(text: str) -> int:
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of processes; write a whole number such as 2")
