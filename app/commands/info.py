"""Say what files and folders hold: studies and series, their shape, header and sampling, and what is wrong with
those that do not open. The exit status is 2 when a path cannot be read or holds nothing."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import fields
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.output import count, table, write_json, write_line
from app.progress import Progress
from recon.batch import places
from recon.errors import MRIError, SliceError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from recon.data import Series, Study

# Of a file, in letters, in the table of many; of a longer one its end is shown.
_LONGEST_NAME = 48


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("paths", nargs="+", metavar="PATH", type=Path, help="file or folder")
    parser.add_argument("--check", action="store_true", help="read every slice, not only the middle one of each series")
    parser.add_argument("--json", action="store_true", help="write JSON to stdout")


def run(arguments: argparse.Namespace) -> int:
    """Describe each path."""
    found: list[dict[str, Any]] = []
    with Progress.of(arguments) as progress:
        for position, path in enumerate(arguments.paths):
            progress.update(f"reading {path.name}", position / len(arguments.paths))
            found.append(describe_path(path, check_all=arguments.check))
    if arguments.json:
        write_json(found)
    elif not arguments.quiet:
        texts = [_as_text(item, show_extra=arguments.verbose > 0) for item in found]
        if any(texts):
            write_line("\n\n".join(filter(None, texts)))
    for item in found:
        if item["error"]:
            sys.stderr.write(f"mri-workstation: error: {item['error']}\n")
    return 2 if any(item["error"] for item in found) else 0


def describe_path(path: Path, *, check_all: bool = False) -> dict[str, Any]:
    """Return what a path holds as plain values; ``error`` is a sentence where it cannot be used, else None.

    Parameters
    ----------
    path
        File or folder.
    check_all
        Read every slice instead of the middle one of each series.
    """
    import recon

    values: dict[str, Any] = {"path": str(path), "title": path.name, "series": [], "declined": [], "error": None}
    try:
        study: Study = recon.open_study(path)
    except MRIError as error:
        return values | {"error": str(error)}
    values["title"] = study.title
    values["series"] = [_describe_series(series, check_all) for series in study.series]
    values["declined"] = [{"path": str(item.path), "reason": item.reason} for item in study.declined]
    problems = [series["problem"] for series in values["series"]]
    if not problems:
        reason = values["declined"][0]["reason"] if values["declined"] else "it holds nothing that can be opened."
        values["error"] = f"{path}: {reason}"
    elif all(problems):
        values["error"] = problems[0]
    return values


def _describe_series(series: Series, check_all: bool) -> dict[str, Any]:
    header = {item.name: getattr(series.header, item.name) for item in fields(series.header) if item.name != "extra"}
    geometry = series.geometry
    return {
        "title": series.title,
        "path": str(series.path),
        "kind": series.kind,
        "n_slices": series.n_slices,
        "n_coils": series.n_coils,
        "matrix": list(series.matrix),
        "recon_size": list(series.recon_size),
        "has_kspace": series.has_kspace,
        "has_reference": series.has_reference,
        "sampling": _describe_sampling(series),
        "padding": list(series.padding) if series.padding else None,
        "pixel_spacing_mm": list(geometry.pixel_spacing_mm),
        "slice_thickness_mm": geometry.slice_thickness_mm,
        "geometry_is_synthetic": geometry.is_synthetic,
        "pixel_spacing_is_assumed": geometry.spacing_is_assumed,
        "slice_thickness_is_assumed": geometry.thickness_is_assumed,
        "header": {name: value for name, value in header.items() if value is not None},
        "extra": dict(series.header.extra),
        "notes": list(series.notes),
        "problem": _find_problem(series, range(series.n_slices) if check_all else [series.n_slices // 2]),
    }


def _describe_sampling(series: Series) -> dict[str, Any]:
    mask = series.acquired_mask
    if mask is None:
        return {"pattern": "full", "acceleration": 1.0}
    kept = int(mask.sum())
    return {
        "pattern": "lines" if mask.shape[0] == 1 else "points",
        "acceleration": mask.size / kept if kept else None,
        "n_acquired": kept,
        "n_positions": int(mask.size),
    }


def _find_problem(series: Series, indices: Any) -> str | None:
    """Read slices; return the sentence about the first that cannot be used."""
    import numpy as np

    from recon.data import check_largest
    from recon.io.check import check_kspace

    largest = 0.0
    for index in indices:
        try:
            kspace = check_kspace(series.source.kspace(index), series, index)
            largest = max(largest, float(np.abs(kspace).max()))
            if series.has_reference:
                series.source.reference(index)
        except MRIError as error:
            return str(error)
        except OSError as error:
            return str(SliceError(series.path, index, f"cannot be read ({error}); copy the file again."))
    try:
        check_largest(series, largest)
    except MRIError as error:
        return str(error)
    return None


def _as_text(item: dict[str, Any], show_extra: bool) -> str:
    if not item["series"]:
        declined = [f"  declined: {Path(entry['path']).name}: {entry['reason']}" for entry in item["declined"]]
        return "\n".join([item["path"], *declined]) if declined else ""
    lines = [item["path"]]
    names = _names(item)
    titles = Counter(series["title"] for series in item["series"])
    if len(names) > 1:
        lines += ["", _overview(item["series"], names)]
    described = [
        (_details(series, show_extra), series["title"] + (f" ({name})" if titles[series["title"]] > 1 else ""))
        for series, name in zip(item["series"], names, strict=True)
    ]
    # Time points differ in nothing that is said here; the table above names each.
    for details, alike in groupby(described, key=itemgetter(0)):
        first, *others = (title for _, title in alike)
        lines += ["", f"  {first}", details]
        if others:
            lines.append(f"    and {len(others)} more like it, to {others[-1]}")
    if item["declined"]:
        lines += ["", f"  {len(item['declined'])} declined:"]
        lines += [f"    {Path(entry['path']).name}: {entry['reason']}" for entry in item["declined"]]
    return "\n".join(lines)


def _details(series: dict[str, Any], show_extra: bool) -> str:
    lines = [table(_rows(series, show_extra), indent="    "), *(f"    note: {note}" for note in series["notes"])]
    if series["problem"]:
        lines.append(f"    problem: {series['problem']}")
    return "\n".join(lines)


def _names(item: dict[str, Any]) -> list[str]:
    """The file of each series, with its folders where others have the same name; what a file of several calls it."""
    paths = [Path(series["path"]) for series in item["series"]]
    names = Counter(path.name for path in set(paths))
    where = places(dict.fromkeys(paths, Path(item["path"])))
    n_inside = Counter((series["path"], series["title"]) for series in item["series"])
    n_series = Counter(paths)
    return [
        series["title"]
        if n_series[path] > 1 and n_inside[series["path"], series["title"]] == 1
        else (path.name if names[path.name] == 1 else where[path])
        for path, series in zip(paths, item["series"], strict=True)
    ]


def _overview(found: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """One line a series."""
    rows = []
    for series, name in zip(found, names, strict=True):
        notes = count(len(series["notes"]), "note") if series["notes"] else ""
        rows.append((
            name if len(name) <= _LONGEST_NAME else f"…{name[1 - _LONGEST_NAME :]}",
            series["header"].get("acquisition") or series["header"].get("protocol") or "",
            series["n_slices"],
            series["n_coils"],
            " × ".join(map(str, series["matrix"])),
            _share(series["sampling"]),
            "yes" if series["has_reference"] else "no",
            "problem" if series["problem"] else notes,
        ))  # fmt: skip
    header = ("file", "contrast", "slices", "coils", "matrix", "sampling", "reference", "notes")
    return table(rows, header, indent="  ")


def _share(sampling: dict[str, Any]) -> str:
    if sampling["pattern"] == "full":
        return "full"
    return f"{100 * sampling['n_acquired'] / sampling['n_positions']:.0f} % sampled"


def _rows(series: dict[str, Any], show_extra: bool) -> list[tuple[str, str]]:
    y, x = series["matrix"]
    height, width = series["recon_size"]
    sampling = series["sampling"]
    if sampling["pattern"] == "full":
        words = "full"
    elif sampling["acceleration"] is None:
        words = "nothing acquired"
    else:
        kind = "columns" if sampling["pattern"] == "lines" else "points"
        words = (
            f"{sampling['n_acquired']} of {sampling['n_positions']} {kind}, acceleration {sampling['acceleration']:.2f}"
        )
    spacing = " × ".join(f"{value:g}" for value in (*series["pixel_spacing_mm"], series["slice_thickness_mm"]))
    rows = [
        ("kind", series["kind"] + ("" if series["has_kspace"] else " (k-space simulated from images)")),
        ("k-space", f"{count(series['n_slices'], 'slice')}, {count(series['n_coils'], 'coil')}, {y} × {x}"),
        (
            "image",
            f"{height} × {width}, {spacing} mm{_assumed(series)}",
        ),
        ("reference", "yes" if series["has_reference"] else "no"),
        ("sampling", words),
    ]
    if series["padding"]:
        first, last = series["padding"]
        rows.append(("padding", f"columns {first} to {last - 1} were acquired, the rest is zero"))
    for name, value in series["header"].items():
        rows.append((_words(name), " × ".join(map(str, value)) if isinstance(value, tuple) else str(value)))
    if show_extra:
        rows += list(series["extra"].items())
    elif series["extra"]:
        rows.append(("more", f"{count(len(series['extra']), 'field')}, shown with -v"))
    return rows


def _assumed(series: dict[str, Any]) -> str:
    """What the file does not say of the geometry."""
    keys = {
        "spacing": "pixel_spacing_is_assumed",
        "thickness": "slice_thickness_is_assumed",
        "position": "geometry_is_synthetic",
    }
    words = [word for word, key in keys.items() if series[key]]
    if len(words) > 1:
        words[-2:] = [" and ".join(words[-2:])]
    return f" ({', '.join(words)} assumed)" if words else ""


_UNITS = {"mm": "mm", "ms": "ms", "hz": "Hz", "t": "T", "deg": "°"}


def _words(name: str) -> str:
    """Turn a field's name into words: ``echo_time_ms`` becomes ``echo time (ms)``."""
    *words, last = name.split("_")
    return f"{' '.join(words)} ({_UNITS[last]})" if words and last in _UNITS else name.replace("_", " ")
