"""The console script. Without a sub-command, or with paths only, it opens the window; sub-commands import no Qt.

Exit status: 0 done; 1 the work failed; 2 wrong usage or unreadable input; 128 + N ended by signal N, such as 130 for
Ctrl-C and 143 for kill.
"""

from __future__ import annotations

import argparse
import importlib
import io
import logging
import os
import signal
import sys
import traceback
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from app.output import stdout_for_json
from recon import __version__
from recon.errors import MissingPackageError, MRIError

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = "mri-workstation"

# Name -> one line for the overview; the module of the same name in app.commands holds the rest.
COMMANDS = {
    "info": "say what files and folders hold, and what is wrong with the bad ones",
    "reconstruct": "reconstruct scans with one or more models, write images and records",
    "evaluate": "compare models on fully sampled scans: scores, tables, paired tests, figures",
    "export": "write a stored reconstruction in more formats",
    "send": "send DICOM files to a PACS, with a report on each",
    "simulate": "make a fastMRI-style raw data file from magnitude images",
    "train": "train a model from a TOML file",
    "models": "list, show, install and verify models and their weights",
    "demo": "write the demo study, or reconstruct it without a display",
    "doctor": "check the installation and say what is missing and how to get it",
    "bench": "measure speed and memory against anchors in the same run",
}

_EPILOGUE = "Research use only. A file that is named like a sub-command is opened as ./NAME."


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in the same words as every other error."""

    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"{PROGRAM}: error: {message}\nRun `{self.prog} --help` for the arguments.\n")
        raise SystemExit(2)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    Parameters
    ----------
    argv
        Arguments without the program's name; those of the process when None.

    Returns
    -------
        Exit status.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    is_verbose = False
    _prepare_streams()
    try:
        arguments = parse(words)
        is_verbose = getattr(arguments, "verbose", 0) > 0
        status = _dispatch(arguments)
        sys.stdout.flush()
        return status
    except MRIError as error:
        return _report(error, str(error), error.exit_status, is_verbose)
    except KeyboardInterrupt as interrupt:
        with suppress(OSError):  # the terminal may be gone, and that be the reason
            sys.stderr.write(f"{PROGRAM}: {str(interrupt) or 'interrupted'}\n")
        return 128 + getattr(interrupt, "number", signal.SIGINT)
    except BrokenPipeError:
        # The reader of a pipe went away; without this Python would complain once more while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except MemoryError as error:
        return _report(error, "the memory of this machine ran out; use fewer slices or a smaller model.", 1, is_verbose)
    except ModuleNotFoundError as error:
        return _report(error, missing_package(error), 1, is_verbose)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _report(error, f"{where}{error.strerror or error}.", 1, is_verbose)
    except Exception as error:  # noqa: BLE001  the last line of defence: a sentence, never a traceback
        text = f"unexpected {type(error).__name__}: {one_line(error)}\nRun again with -v for the traceback."
        return _report(error, text, 1, is_verbose)


def _prepare_streams() -> None:
    """Make stdout and stderr take any text: closed ones swallow it, and what a locale cannot spell becomes `?`."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, io.StringIO())
        elif name == "stdout" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Turn arguments into values; exits with status 2 and a sentence where they are wrong."""
    first = next((word for word in words if not word.startswith("-")), None)
    if first not in COMMANDS or "--demo" in words[: words.index(first)]:
        parser = _window_parser()
        arguments = parser.parse_args(words)
        _check_command(parser, arguments.paths)
        return arguments
    words = [first, *(word for position, word in enumerate(words) if position != words.index(first))]
    module = importlib.import_module(f"app.commands.{first}")
    parser = _Parser(prog=f"{PROGRAM} {first}", description=module.__doc__, formatter_class=_Formatter)
    module.add_arguments(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")
    parser.add_argument(
        "-v",
        "--verbose",
        action="count",
        default=0,
        help="say more, in a log also the progress; tracebacks with errors",
    )
    arguments = parser.parse_args(words[1:])
    arguments.run = module.run
    return arguments


def _check_command(parser: _Parser, paths: Sequence[Path]) -> None:
    """A bare word that is no file was meant as a command: say so, instead of opening a window on nothing."""
    if paths and paths[0].name == str(paths[0]) and not paths[0].suffix and not paths[0].exists():
        import difflib

        close = difflib.get_close_matches(str(paths[0]), COMMANDS, n=1)
        hint = f"; did you mean {close[0]}?" if close else "."
        parser.error(f"there is no command and no file {str(paths[0])!r}{hint}")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)


def _window_parser() -> _Parser:
    overview = "\n".join(f"  {name:13} {text}" for name, text in COMMANDS.items())
    parser = _Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [--demo] [PATH ...]\n       {PROGRAM} COMMAND [--help] ...",
        description="Reconstruction of undersampled MRI. Without a command, the window opens.\n\n"
        f"commands:\n{overview}",
        epilog=_EPILOGUE,
        formatter_class=_Formatter,
    )
    parser.add_argument(
        "paths", nargs="*", metavar="PATH", type=Path, help="files, folders or a session to open in the window"
    )
    parser.add_argument("--demo", action="store_true", help="open the window on the demo study")
    parser.add_argument("-v", "--verbose", action="count", default=0, help="tracebacks with errors")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    parser.set_defaults(run=_open_window)
    return parser


def _open_window(arguments: argparse.Namespace) -> int:
    try:
        from app.window import open_window
    except ImportError as error:
        missing = error.name or str(error)
        if missing.split(".")[0] in ("app", "recon"):
            raise
        raise MRIError(
            f"the window cannot start: {one_line(error)}. "
            f"`{PROGRAM} doctor` names what is missing; the sub-commands work without it."
        ) from error
    return int(open_window(arguments.paths, demo=arguments.demo))


def _dispatch(arguments: argparse.Namespace) -> int:
    if arguments.run is not _open_window:
        level = logging.ERROR if arguments.quiet else logging.DEBUG if arguments.verbose else logging.INFO
        logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format=f"{PROGRAM}: %(message)s", force=True)
        for name in ("app", "recon", "training"):
            logging.getLogger(name).setLevel(level)
    with stdout_for_json() if getattr(arguments, "json", False) else nullcontext():
        return int(arguments.run(arguments))


def _report(error: BaseException, text: str, status: int, is_verbose: bool) -> int:
    if is_verbose:
        traceback.print_exception(error)
    sys.stderr.write(f"{PROGRAM}: error: {text}\n")
    return status


def missing_package(error: ModuleNotFoundError) -> str:
    """Return what to say where an optional package is not installed, as in a bare Python with torch."""
    return str(MissingPackageError((error.name or str(error)).split(".")[0]))


def one_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its kind where it has none."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
