"""Why rows of an evaluation have no scores: one problem of a file or of a method stands behind many rows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Row = Mapping[str, Any]

# As many names are written out.
_N_NAMED = 3


@dataclass(frozen=True, eq=False)
class Problem:
    """Rows that have no scores for the same reason.

    Attributes
    ----------
    status
        ``failed``, or ``skipped`` where nobody is to blame.
    reason
        A sentence.
    rows
        At least one.
    """

    status: str
    reason: str
    rows: tuple[Row, ...]

    @property
    def volumes(self) -> str:
        """Names of the volumes, or the first of them and a number."""
        return named([row["volume"] for row in self.rows], "volumes")

    @property
    def methods(self) -> str:
        """Names of the methods, or the first of them and a number."""
        return named([row["method"] for row in self.rows], "methods")

    @property
    def sentence(self) -> str:
        """The reason, and what it concerns."""
        # The reason may begin with the file.
        is_named = re.search(rf"(^|/){re.escape(self.volumes)}(\.\w+)*:", self.reason)
        volumes = [] if is_named else [self.volumes]
        n_rows = len(self.rows)
        about = [*volumes, self.methods, f"{n_rows} score{'' if n_rows == 1 else 's'} missing"]
        return f"{self.reason.rstrip('.')} ({'; '.join(about)})."


def group_problems(rows: Iterable[Row]) -> list[Problem]:
    """Return the problems of those rows that have no scores, in the order in which they were met."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row["status"] != "done":
            found.setdefault((row["status"], row["reason"]), []).append(row)
    return [Problem(*about, tuple(members)) for about, members in found.items()]


def named(names: Sequence[str], noun: str) -> str:
    """Return each name once, such as ``a, b, c``, or of many the first two: ``a, b and 11 more volumes``."""
    different = list(dict.fromkeys(names))
    if len(different) <= _N_NAMED:
        return ", ".join(different)
    return f"{', '.join(different[: _N_NAMED - 1])} and {len(different) - _N_NAMED + 1} more {noun}"
