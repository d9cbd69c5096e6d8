"""Say what a folder of training data holds, and what in it cannot be used: ``mri-workstation train --check DATA``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from app.output import write_json, write_line
from app.progress import Progress

if TYPE_CHECKING:
    import argparse


def check_data(arguments: argparse.Namespace) -> int:
    """Inspect ``arguments.check`` and print what was found; the exit status is 2 where nothing can train on it."""
    from training.config import from_dict, read_values
    from training.inspection import inspect

    recipe = from_dict(read_values(arguments.config, arguments.set))
    with Progress(False if arguments.quiet or arguments.json else None, logs=arguments.verbose > 0) as progress:
        found = inspect(
            arguments.check,
            read="everything" if arguments.every_slice else "middle",
            validation_share=recipe.validation_share,
            split_seed=recipe.split_seed,
            progress=lambda share: progress.update("reading", share),
        )
    if arguments.json:
        write_json(found.to_dict())
    elif not arguments.quiet:
        write_line(found.to_text(most=10 if not arguments.verbose else len(found.unusable)))
    if found.problem is not None and (arguments.json or arguments.quiet):
        sys.stderr.write(f"mri-workstation: error: {found.path}: {found.problem}\n")
    return 0 if found.is_usable else 2
