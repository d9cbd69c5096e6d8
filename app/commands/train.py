"""Train a model as a TOML file says: model, data, loss, schedule. A bundled recipe is named without its suffix.

The run folder gets the recipe, events, checkpoints and publishable weights; --resume goes on with the last
checkpoint, under the recipe that is stored there."""

from __future__ import annotations

import argparse
from pathlib import Path

from app.output import write_json, write_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("config", metavar="CONFIG.toml", help="what to train and how, or the name of a bundled recipe")
    parser.add_argument("--resume", action="store_true", help="go on with the last checkpoint of the run folder")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="replace a value of the recipe; repeatable"
    )
    parser.add_argument(
        "--devices", type=_devices, default="auto", metavar="N", help="auto (default), cpu, or a number of GPUs"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="run folder (default: runs/ and the recipe's name)")
    parser.add_argument("--json", action="store_true", help="write one line of JSON an event to stdout")


def run(arguments: argparse.Namespace) -> int:
    """Hand over to the training package."""
    from training.run import main

    weights = main(
        arguments.config,
        arguments.out or Path("runs") / Path(arguments.config).stem,
        settings=arguments.set,
        resume=arguments.resume,
        devices=arguments.devices,
        as_json=arguments.json,
    )
    if arguments.json:
        write_json({"event": "published", "weights": str(weights)}, indent=None)
    elif not arguments.quiet:
        write_line(f"weights: {weights}\nuse them: mri-workstation reconstruct SCAN --model {weights}")
    return 0


def _devices(text: str) -> str:
    if text in ("auto", "cpu") or (text.isdecimal() and int(text) > 0):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is no number of devices; write auto, cpu, or a number such as 2")
