"""Train a model as a TOML file says: model, data, loss, schedule. A bundled recipe is named without its suffix.

The run folder gets the recipe, events, previews, checkpoints and publishable weights. Ctrl-C finishes the step and
writes a checkpoint; --resume goes on exactly there, also after a kill. Several GPUs: --devices N; several machines:
start this command on each of them with torchrun or srun."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.output import write_json, write_line
from app.progress import Progress
from app.training.check import check_data
from app.training.listing import show_recipes
from recon.errors import DeviceError, MRIError, RequestError, needs_package

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_INTERRUPTED = 130
# Numbers of the events that are shown until there is a newer one.
_LATEST = ("step", "loss", "psnr", "zero_filled_psnr", "samples_per_second")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "config",
        metavar="CONFIG.toml",
        nargs="?",
        help="what to train and how, or the name of a bundled recipe; may be left out with --resume",
    )
    parser.add_argument("--resume", action="store_true", help="go on with the last checkpoint of the run folder")
    parser.add_argument("--force", action="store_true", help="with --resume: go on also with a changed recipe")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="replace a value of the recipe, or one of the network by overrides.NAME=VALUE; repeatable",
    )
    parser.add_argument(
        "--devices",
        type=_devices,
        default="auto",
        metavar="N",
        help="auto (default), cpu, a number of GPUs on each machine, or cpu:N for N processes on the CPU",
    )
    parser.add_argument(
        "--nodes", type=_nodes, metavar="N", help="number of machines, as torchrun or srun started them"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="run folder (default: runs/ and the recipe's name)")
    parser.add_argument(
        "--check", type=Path, metavar="DATA", help="only say what this training data holds, and what is unusable"
    )
    parser.add_argument("--list", action="store_true", help="only list the bundled recipes")
    parser.add_argument("--every-slice", action="store_true", help="with --check: read every slice, not the middle one")
    parser.add_argument("--tensorboard", action="store_true", help="also write the events for TensorBoard")
    parser.add_argument("--json", action="store_true", help="write one line of JSON an event to stdout")


def run(arguments: argparse.Namespace) -> int:
    """Hand over to the training package."""
    if arguments.check is not None:
        return check_data(arguments)
    if arguments.list:
        return show_recipes(arguments)
    if arguments.config is None and not (arguments.resume and arguments.out):
        raise RequestError("name a recipe: CONFIG.toml or a bundled one. Only --resume with --out DIR needs none.")
    out = arguments.out or Path("runs") / Path(arguments.config).stem
    settings, resume, force = list(arguments.set), arguments.resume, arguments.force
    while True:
        try:
            return _train(arguments, out, settings, resume=resume, force=force)
        except DeviceError as error:
            changes: dict[str, Any] = getattr(error, "changes", {})
            if not (changes and _accepts(arguments, error)):
                raise
        settings += [f"{key}={json.dumps(value)}" for key, value in changes.items()]
        resume = resume or (out / "last.ckpt").exists()
        force = force or "sizes" in changes


def _train(arguments: argparse.Namespace, out: Path, settings: list[str], *, resume: bool, force: bool) -> int:
    from training.run import main

    with needs_package("train"):
        from training.interruption import Stopped
    with Progress(False if arguments.quiet or arguments.json else None, logs=arguments.verbose > 0) as progress:
        try:
            weights = main(
                arguments.config,
                out,
                settings=settings,
                resume=resume,
                force=force,
                devices=arguments.devices,
                nodes=arguments.nodes,
                tensorboard=arguments.tensorboard,
                report=_print_event if arguments.json else _show(progress, quiet=arguments.quiet),
            )
        except Stopped as stop:
            progress.clear()
            sys.stderr.write(f"mri-workstation: {stop}\n")
            return _INTERRUPTED
    if weights is None:  # another process of the run speaks
        return 0
    from recon.weights import read_header

    published = read_header(weights)
    warning = published.warning
    if warning and not arguments.quiet:
        sys.stderr.write(f"warning: on their own validation slices these weights are {warning}.\n")
    if not (arguments.json or arguments.quiet):
        if scores := _scores(published.story.get("validation") or {}):
            write_line(f"validation of these weights: {scores}")
        write_line(f"weights: {weights}\nuse them: mri-workstation reconstruct SCAN --model {weights}")
    return 0


def _scores(validation: Mapping[str, Any]) -> str:
    """Scores of a validation beside those of zero-filled; empty where there are none."""
    words = []
    for name, digits, unit in (("psnr", 2, " dB"), ("ssim", 4, "")):
        score, before = validation.get(name), validation.get(f"zero_filled_{name}")
        if score is not None:
            words.append(f"{name.upper()} {score:.{digits}f}{unit}")
            words[-1] += f" (zero-filled {before:.{digits}f})" if before is not None else ""
    return ", ".join(words)


def _print_event(event: dict[str, Any]) -> None:
    write_json(event, indent=None)


def _show(progress: Progress, *, quiet: bool) -> Callable[[dict[str, Any]], None]:
    """Return what shows events: the step, the latest loss and score, and the time left; it names skipped files."""
    latest: dict[str, float] = {}

    def show(event: dict[str, Any]) -> None:
        latest.update({name: event[name] for name in _LATEST if event.get(name)})
        if event["event"] == "note" and not quiet:
            sys.stderr.write(f"note: {event['text']}\n")
        if event["event"] == "skipped" and not quiet:
            sys.stderr.write(f"skipped {event['path']}: {event['reason']}\n")
        if event["event"] == "done" and event["skipped"] and not quiet:
            names = [Path(path).name for path in event["skipped"]]
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            sys.stderr.write(f"{len(names)} skipped in all: {', '.join(names[:5])}{more}\n")
        if "share" not in event:
            return
        words = [f"step {latest['step']}"] if "step" in latest else []
        words += [f"loss {latest['loss']:.4f}" if "loss" in latest else "training"]
        before = f" (zero-filled {latest['zero_filled_psnr']:.2f})" if "zero_filled_psnr" in latest else ""
        words += [f"{latest['psnr']:.2f} dB{before}"] if "psnr" in latest else []
        words += [f"{latest['samples_per_second']:.2f} samples/s"] if "samples_per_second" in latest else []
        progress.update(", ".join(words), event["share"])

    return show


def _accepts(arguments: argparse.Namespace, error: MRIError) -> bool:
    """Ask on a terminal whether to go on with what fits."""
    if arguments.json or arguments.quiet or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    sys.stderr.write(f"{error}\nGo on like this? [Y/n] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("", "y", "yes")


def _devices(text: str) -> str:
    if text in ("auto", "cpu") or re.fullmatch(r"(cpu:)?0*[1-9][0-9]{0,3}", text):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is no number of devices; write auto, cpu, cpu:2, or a number such as 2")


def _nodes(text: str) -> int:
    if re.fullmatch(r"0*[1-9][0-9]{0,4}", text):
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of machines; write a number such as 2")
