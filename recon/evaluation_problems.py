"""Why rows of an evaluation have no scores, and what to mind of those that have: one reason stands behind many rows."""

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
class _Rows:
    """At least one row of an evaluation."""

    rows: tuple[Row, ...]

    @property
    def volumes(self) -> str:
        """Names of the volumes, or the first of them and a number."""
        return named([row["volume"] for row in self.rows], "volumes")

    @property
    def methods(self) -> str:
        """Names of the methods, or the first of them and a number."""
        return named([row["method"] for row in self.rows], "methods")


@dataclass(frozen=True, eq=False)
class Problem(_Rows):
    """Rows that have no scores for the same reason.

    Attributes
    ----------
    rows
        At least one.
    status
        ``failed``, or ``skipped`` where nobody is to blame.
    reason
        A sentence.
    """

    status: str
    reason: str

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
    return [Problem(tuple(members), *about) for about, members in found.items()]


@dataclass(frozen=True, eq=False)
class Caution(_Rows):
    """A warning that reconstructions have in common.

    Attributes
    ----------
    rows
        That have it; at least one.
    warning
        A sentence.
    is_general
        Whether all scores of these volumes have it.
    """

    warning: str
    is_general: bool

    @property
    def sentence(self) -> str:
        """The warning, and what it concerns, as `reconstruct` says it."""
        methods = [] if self.is_general else [self.methods]
        if len({row["volume"] for row in self.rows}) == 1:
            return f"{' · '.join([self.volumes, *methods])}: {self.warning}"
        return f"{self.warning.rstrip('.')} ({'; '.join([self.volumes, *methods])})."


def group_warnings(rows: Iterable[Row]) -> list[Caution]:
    """Return the warnings of those rows that have scores, in the order in which they were met."""
    found: dict[str, list[Row]] = {}
    n_rows: dict[str, int] = {}
    for row in rows:
        if row["status"] == "done" and row["kind"] == "scores":
            n_rows[row["volume"]] = n_rows.get(row["volume"], 0) + 1
            for warning in dict.fromkeys(row.get("warnings", ())):
                found.setdefault(warning, []).append(row)
    return [
        Caution(
            tuple(members), warning, len(members) == sum(n_rows[name] for name in {row["volume"] for row in members})
        )
        for warning, members in found.items()
    ]


def named(names: Sequence[str], noun: str) -> str:
    """Return each name once, such as ``a, b, c``, or of many the first two: ``a, b and 11 more volumes``."""
    different = list(dict.fromkeys(names))
    if len(different) <= _N_NAMED:
        return ", ".join(different)
    return f"{', '.join(different[: _N_NAMED - 1])} and {len(different) - _N_NAMED + 1} more {noun}"
