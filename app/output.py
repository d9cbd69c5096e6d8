"""What sub-commands write on stdout: JSON for programs, aligned columns for people."""

from __future__ import annotations

import json
import math
import os
import sys
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# Where JSON goes while stdout is kept for it.
_kept: TextIO | None = None


@contextmanager
def stdout_for_json() -> Iterator[None]:
    """Keep stdout for `write_json`: what plug-ins, and programs that they start, print there goes to stderr."""
    global _kept
    with _diverted(sys.stdout, sys.stderr) as _kept, redirect_stdout(sys.stderr):
        try:
            yield
        finally:
            _kept = None


@contextmanager
def _diverted(stdout: TextIO, stderr: TextIO) -> Iterator[TextIO]:
    """Make the file behind stdout that of stderr, also for programs that are started; yield what it was."""
    try:
        number, other = stdout.fileno(), stderr.fileno()
    except OSError:  # no file is behind one of them, as where another program has them in memory
        yield stdout
        return
    stdout.flush()
    with open(os.dup(number), "w", encoding=stdout.encoding, errors=stdout.errors) as kept:  # noqa: PTH123  no path
        os.dup2(other, number)
        try:
            yield kept
        finally:
            stdout.flush()
            os.dup2(kept.fileno(), number)


def write_line(text: str = "") -> None:
    """Write a line to stdout."""
    sys.stdout.write(f"{text}\n")


def write_json(value: Any, *, indent: int | None = 2) -> None:
    """Write a value to stdout as JSON at once; NaN and infinity, which JSON lacks, become null."""
    stdout = _kept or sys.stdout
    text = json.dumps(plain(value), indent=indent, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(getattr(stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:  # the locale, or a file name that is no text: JSON can spell both
        text = json.dumps(plain(value), indent=indent, allow_nan=False)
    stdout.write(text + "\n")
    stdout.flush()


def plain(value: Any) -> Any:
    """Return a value made of what JSON knows: paths as text, tuples as lists, numpy numbers as numbers."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, bool) or value is None or isinstance(value, (str, int)):
        return value
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)


def table(rows: Iterable[Sequence[object]], header: Sequence[str] = (), indent: str = "") -> str:
    """Return rows as aligned columns; columns whose cells are all numbers are set flush right.

    Parameters
    ----------
    rows
        Cells, one sequence a row.
    header
        Titles of the columns; none when empty.
    indent
        Put before each line.
    """
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    lines = [list(header), *cells] if header else cells
    if not lines:
        return ""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    is_number = [
        any(line[column] for line in cells) and all(_is_number(line[column]) for line in cells if line[column])
        for column in range(len(widths))
    ]
    text = [
        indent
        + "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, is_number, strict=True)
        ).rstrip()
        for line in lines
    ]
    if header:
        text.insert(1, indent + "  ".join("─" * width for width in widths))
    return "\n".join(text)


def count(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it needs one."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _is_number(text: str) -> bool:
    try:
        float(text.rstrip("%×x"))
    except ValueError:
        return False
    return True
