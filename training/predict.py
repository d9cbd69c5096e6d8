"""Evaluate or reconstruct many volumes with many processes, one volume the work of one process.

    python -m training.predict JOB.json --processes 4        four processes on this machine
    torchrun --nproc-per-node 4 -m training.predict JOB.json
    srun --ntasks-per-node 4 python -m training.predict JOB.json

JOB.json is what ``mri-workstation evaluate … --plan`` writes. With ``--processes N``, ``evaluate`` and ``reconstruct``
start this program themselves; inside torchrun and srun they do its work. Every process works on a device of its own
where there are GPUs, else on its share of the CPU.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.errors import DeviceError, MRIError, needs_package
from training.cluster import Cluster, find_cluster, process_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from recon.batch import Show, Work

_PROGRAM = "mri-workstation"
_POLL_SECONDS = 0.3
_GRACE_SECONDS = 5.0
_N_SWEEPS = 5


def run_job(work: Work, *, processes: int, device: str = "auto", show: Show | None = None) -> tuple[bool, int]:
    """Do the work in this process and its siblings; lightning starts those that nobody else started.

    Parameters
    ----------
    work
        What is shared out.
    processes
        Processes on this machine, where neither torchrun nor SLURM decides.
    device
        ``cpu``, ``cuda`` or ``auto``: one GPU for each process where there are GPUs.
    show
        Called with what is being done and this process's progress.

    Returns
    -------
    Whether this is the first process, and in that case the exit status of the whole work.

    Raises
    ------
    MRIError
        If lightning or a device is missing.
    """
    with needs_package("train"):
        from training import sharding
    cluster = find_cluster() or Cluster(processes)
    accelerator = choose_accelerator(device, cluster.n_local)
    return sharding.run(work, cluster, accelerator, show or (lambda _text, _share: None))


def choose_accelerator(device: str, n_local: int) -> str:
    """Return ``gpu`` or ``cpu`` for a number of processes on this machine.

    Raises
    ------
    DeviceError
        If there are fewer GPUs than processes that each want one.
    """
    import torch

    if device == "cpu":
        return "cpu"
    if device not in ("auto", "cuda"):
        raise DeviceError(f"device {device} cannot be shared by processes; choose auto, cuda or cpu.")
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if n_gpus >= n_local:
        return "gpu"
    if device == "cuda" or n_gpus:
        raise DeviceError(
            f"{n_local} processes want a GPU each and this machine has {n_gpus}; ask for fewer processes, or for "
            "--device cpu."
        )
    return "cpu"


def launch(job: Path, processes: int, device: str, progress: Callable[[str, float], None], *, verbose: int) -> Any:
    """Run this program on a job with several processes and wait.

    Parameters
    ----------
    job
        The job file, in a folder that takes the progress and the outcome too; it goes when this process is killed.
    processes, device
        See `run_job`.
    progress
        Called a few times a second with what is being done and the share of all work that is done.
    verbose
        -1 says nothing but errors, 1 says more.

    Returns
    -------
    Exit status, and the outcome of the work: its records or rows.

    Raises
    ------
    KeyboardInterrupt
        If the user interrupts, or a signal ends this process; all others are ended first.
    """
    folder = job.parent
    outcome = folder / "outcome.json"
    command = [sys.executable, "-m", "training.predict", str(job), "--processes", str(processes)]
    command += ["--device", device, "--outcome", str(outcome), "--progress", str(folder)]
    command += ["--quiet"] if verbose < 0 else ["--verbose"] * verbose
    root = str(Path(__file__).resolve().parent.parent)
    python_path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    # A group of its own, so that one signal reaches the processes that lightning starts too. Nothing is ever written
    # to their stdin: it ends when this process does, even where that cannot tidy up.
    environment = os.environ | {"PYTHONPATH": python_path}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, start_new_session=True) as process:
        try:
            while process.poll() is None:
                time.sleep(_POLL_SECONDS)
                progress(*_read_progress(folder))
            number = -process.returncode
            if number > 0:
                raise MRIError(f"the processes were ended by signal {number}; run the same command to go on.")
        except BaseException:
            _end(process)
            raise
    if not outcome.exists():
        return process.returncode, None
    return process.returncode, json.loads(outcome.read_text("utf-8"))


def _end(process: subprocess.Popen[bytes]) -> None:
    # What is on the disk is whole at any moment: there is nothing to wait for but a quiet end.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE_SECONDS)
    with suppress(ProcessLookupError):  # the group outlives its leader where another process is slow to end
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _end_with_parent(folder: Path) -> None:
    """End this process when the one that holds the other end of its stdin is gone, and remove their folder."""

    def watch() -> None:
        # Not `sys.stdin`: the interpreter cannot end while a thread waits inside it.
        while os.read(0, 1):
            pass
        gone = folder.with_name(f"{folder.name}.gone")
        with suppress(OSError):  # a brother was quicker
            folder.rename(gone)  # so that nobody writes into it while it is emptied
        # Each of them sees to it, before it ends and ends the others: the quickest one may be ended in the middle.
        for _ in range(_N_SWEEPS):
            shutil.rmtree(gone, ignore_errors=True)
            if not gone.exists():
                break
            time.sleep(_POLL_SECONDS)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(_GRACE_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


class _ProgressFile:
    """What this process does and how far it is, for the process that waits for all."""

    def __init__(self, folder: Path, part: int) -> None:
        self._path = folder / f"progress-{part:04d}"
        self._written = 0.0

    def show(self, text: str, share: float) -> None:
        now = time.monotonic()
        if now - self._written >= _POLL_SECONDS or share >= 1:
            self._written = now
            with suppress(OSError):  # the folder goes when the process that waits is gone
                self._path.write_text(f"{share:.4f} {text}", "utf-8")


def _read_progress(folder: Path) -> tuple[str, float]:
    """What the first busy process does, and the mean share of all."""
    shares, text = [], ""
    for path in sorted(folder.glob("progress-*")):
        share, _, doing = path.read_text("utf-8").partition(" ")
        with suppress(ValueError):  # it is just being written
            shares.append(float(share))
            text = text or doing
    return text or "starting", sum(shares) / len(shares) if shares else 0.0


def main(words: Sequence[str] | None = None) -> int:
    """Do a job; see the top of this file."""
    parser = argparse.ArgumentParser(
        prog="python -m training.predict", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("job", type=Path, metavar="JOB.json")
    parser.add_argument("--processes", type=int, default=1, metavar="N")
    parser.add_argument("--device", default="auto", help="auto (default), cpu or cuda")
    parser.add_argument("--outcome", type=Path, metavar="FILE", help="where the records or rows go, as JSON")
    parser.add_argument("--progress", type=Path, metavar="DIR", help=argparse.SUPPRESS)
    parser.add_argument("-q", "--quiet", action="store_true")
    parser.add_argument("-v", "--verbose", action="count", default=0)
    arguments = parser.parse_args(words)
    level = logging.ERROR if arguments.quiet else logging.DEBUG if arguments.verbose else logging.INFO
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format=f"{_PROGRAM}: %(message)s", force=True)
    logging.getLogger("recon").setLevel(level)
    if arguments.progress is not None:
        _end_with_parent(arguments.progress)
    try:
        return _run(arguments)
    except MRIError as error:
        sys.stderr.write(f"{_PROGRAM}: error: {error}\n")
        return error.exit_status
    except KeyboardInterrupt:
        return 130


def _run(arguments: argparse.Namespace) -> int:
    from recon.batch import open_work
    from recon.evaluation_work import EvaluationWork

    work = open_work(arguments.job)
    show: Show | None = None
    lock: AbstractContextManager[None] = nullcontext()
    if arguments.progress is not None:
        show = _ProgressFile(arguments.progress, process_number()).show
    elif process_number() == 0 and isinstance(work, EvaluationWork):
        # A command that starts this program holds the folder itself.
        lock = work.alone()
    with lock:
        is_first, status = run_job(work, processes=arguments.processes, device=arguments.device, show=show)
    if is_first and arguments.outcome is not None:
        arguments.outcome.write_text(json.dumps(work.outcome()), "utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
