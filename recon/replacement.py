"""The result that a new one of its name takes the place of: nothing of another scan or recipe stays by its record."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from recon.result import files_of, is_same, read_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Former:
    """A result of another scan or recipe under the name of a new one.

    Attributes
    ----------
    record
        Its file.
    files
        Names of the files that it lists.
    difference
        What tells it from the new one, in words.
    written
        When, in words.
    """

    record: Path
    files: tuple[str, ...]
    difference: str
    written: str

    @classmethod
    def find(cls, path: Path, record: Mapping[str, Any]) -> Former | None:
        """Return what lies where a record is to be written, or None if that is nothing or of the same scan and recipe.

        Parameters
        ----------
        path
            File of the record.
        record
            What is to be written there.
        """
        stored = read_record(path)
        if not stored or is_same(stored, record):
            return None
        written = datetime.fromtimestamp(path.stat().st_mtime).astimezone().strftime("%Y-%m-%d %H:%M")
        return cls(path, tuple(files_of(path)), _difference(stored, record), written)

    def give_way(self, new: Iterable[Path]) -> str:
        """Remove the files that it lists and the new result did not write; returns a sentence on what was replaced."""
        gone = [name for name in self.files if name not in {path.name for path in new} and self._remove(name)]
        also = f"; its {', '.join(gone)} {'is' if len(gone) == 1 else 'are'} removed" if gone else ""
        place = self.record.with_suffix("")
        return f"{place}: replaces the result of {self.difference}, written {self.written}{also}."

    def _remove(self, name: str) -> bool:
        path = self.record.with_name(name)
        # Names of results begin alike; of a folder, what else somebody put into it stays.
        if not name.startswith(f"{self.record.stem}.") or path == self.record:
            return False
        try:
            if path.is_dir() and not path.is_symlink():
                for file in path.glob("*.dcm"):
                    file.unlink()
                with suppress(OSError):
                    path.rmdir()
            else:
                path.unlink()
        except OSError:
            return False
        return True


def _difference(stored: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    if any(stored.get(key) != record[key] for key in ("input", "fingerprint")):
        return f"another scan ({stored.get('input')})"
    before, after = _flat(stored.get("request")), _flat(record["request"])
    names = [name for name in after if name not in ("device", "slices") and before.get(name) != after[name]]
    names += ["slices"] * (stored.get("slices") != list(record["slices"]))
    names += ["weights"] * (stored.get("weights_sha256") != record["weights_sha256"])
    said = [f"{name.replace('_', ' ')} {_short(before.get(name))}" for name in names]
    return f"the same scan with {', '.join(said) or 'other settings'}"


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value) if isinstance(value, str | int) else "unlike now"


def _flat(request: Any) -> dict[str, Any]:
    """The settings of a request, with those of its mask among them."""
    values = dict(request) if isinstance(request, dict) else {}
    mask = values.pop("mask", None)
    return values | (mask if isinstance(mask, dict) else {})
