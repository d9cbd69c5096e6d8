"""Tables out: CSV for programs, Markdown for people."""

from __future__ import annotations

import csv
import io
import math
from typing import TYPE_CHECKING, Any

from recon.export.atomic import atomic_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path


def write_csv(
    path: Path, rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, keep_empty: bool = False
) -> list[Path]:
    """Write rows as CSV with these columns; what a row lacks stays empty.

    Numbers have six significant digits or six decimals, whichever are more; NaN is empty, infinity is ``inf``.

    Parameters
    ----------
    path
        The file.
    rows, columns
        What it holds.
    keep_empty
        Write a table without rows too; else there is none, and an older one goes.

    Returns
    -------
        The file, where it was written.

    Raises
    ------
    ExportError
        If the disk or the folder does not let it be written; an older file stays as it was.
    """
    lines = [[cell(row.get(column)) for column in columns] for row in rows]
    if not lines and not keep_empty:
        path.unlink(missing_ok=True)
        return []
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *lines])
    with atomic_file(path) as temporary:
        temporary.write_text(text.getvalue(), "utf-8")
    return [path]


def cell(value: Any) -> str:
    """Return a value as text for a CSV file."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        if not math.isfinite(value):
            return "inf" if value > 0 else "-inf"
        if value == round(value) and abs(value) < 1e15:
            return f"{value:.0f}"
        return f"{value:.6f}" if abs(value) >= 1 else f"{value:.6g}"
    return str(value)


def markdown(rows: Iterable[Sequence[str]], header: Sequence[str], n_text: int = 1) -> str:
    """Return rows as a Markdown table; the columns after the first ``n_text`` are set flush right."""
    lines = [header, ["---"] * n_text + ["---:"] * (len(header) - n_text), *rows]
    cells = [[part.replace("|", "\\|").replace("\n", " ") for part in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)
