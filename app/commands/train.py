"""Train a model as a TOML file says: data, model, loss, schedule, devices.

The run folder gets checkpoints, metrics and publishable weights; --resume goes on with the last checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recon.errors import MRIError

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("config", metavar="CONFIG.toml", type=Path, help="what to train, and how")
    parser.add_argument("--resume", action="store_true", help="go on with the last checkpoint of the run folder")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="replace a value of the file; repeat for several",
    )
    parser.add_argument("--devices", type=int, metavar="N", help="number of devices on each node")
    parser.add_argument("--nodes", type=int, metavar="N", help="number of nodes")
    parser.add_argument("--out", type=Path, metavar="DIR", help="run folder")
    parser.add_argument("--json", action="store_true", help="write one line of JSON an event to stdout")


def run(arguments: argparse.Namespace) -> int:
    """Hand over to the training package."""
    try:
        from training.run import main
    except ImportError as error:
        raise MRIError(
            f"training needs the package {error.name}; install it with `pip install 'mri-workstation[train]'`."
        ) from error
    options = ["--resume"] * arguments.resume + ["--json"] * arguments.json
    for value in arguments.set:
        options += ["--set", value]
    for name in ("devices", "nodes", "out"):
        value = getattr(arguments, name)
        if value is not None:
            options += [f"--{name}", str(value)]
    return int(main([str(arguments.config), *options]) or 0)
