"""Session files: what was open and how it was looked at, as JSON that a person can read. No pixels, no Qt.

A file names the scans by where they lie, from its own folder and absolutely, and by what was in them, so that a scan
that changed meanwhile is noticed. Results are kept as their recipes. A file that cannot be used is refused as a whole:
one sentence says what was found, what was expected and what to do.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from app.json_fields import Fields, as_written, is_plain
from app.settings import Settings
from app.views import levels
from app.views.component import Component
from recon import __version__
from recon.errors import FileError, RequestError
from recon.export.atomic import atomic_file
from recon.request import Request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recon.simulate import SimulationSpec

SUFFIX = ".mriws.json"
FORMAT = "mri-workstation session"
VERSION = 1
# Far more than any session needs; what is larger is something else.
_LARGEST_BYTES = 16 * 1024**2
# A scan is known by some blocks from all over it: those of many gigabytes are not read for this.
_N_BLOCKS = 16
_BLOCK_BYTES = 1 << 16
_LAYOUTS = ("stages", "result", "comparison")
_REMEDY = "Save the session again, or correct the file"

State = Literal["", "missing", "changed"]


@dataclass(frozen=True)
class Scan:
    """A file or folder that was opened.

    Attributes
    ----------
    path
        Where it lies.
    simulation
        How k-space was made of its images; None where it has its own.
    size, digest
        What was in it; `write` fills them in, and leaves None where it could not be read.
    state
        What `read` found: nothing to say, ``missing`` or ``changed``.
    """

    path: Path
    simulation: SimulationSpec | None = None
    size: int | None = None
    digest: str | None = None
    state: State = ""


@dataclass(frozen=True)
class Place:
    """Where a series is: the number of its scan, its own in that scan, and its title."""

    scan: int
    series: int
    title: str


@dataclass(frozen=True)
class ViewOptions:
    """How images were looked at, see `app.viewstate.ViewState` and `app.views.image_canvas.View`."""

    component: str = "magnitude"
    levels: dict[str, levels.Limits] = field(default_factory=dict)
    preset: str | None = None
    colours: str = "grey"
    is_inverted: bool = False
    layout: str = "stages"
    shows_errors: bool = True
    has_signed_errors: bool = False
    error_gain: float = 5
    has_crosshair: bool = True
    crosshair: tuple[int, int] | None = None
    region: tuple[int, int, int, int] | None = None
    has_wipe: bool = False
    wipe: float = 0.5
    zoom: float = 1.0
    centre: tuple[float, float] = (0.5, 0.5)
    has_annotations: bool = True


@dataclass(frozen=True)
class StoredSession:
    """All that a session file holds.

    Attributes
    ----------
    scans
        What was open, in order.
    shown, slice_index
        The series and slice in view; None for no series.
    request
        The recipe.
    view
        How images were looked at.
    results
        The series and the recipe of each result, oldest first; its slices are those that were finished.
    """

    scans: tuple[Scan, ...] = ()
    shown: Place | None = None
    slice_index: int = 0
    request: Request = field(default_factory=Request)
    view: ViewOptions = field(default_factory=ViewOptions)
    results: tuple[tuple[Place, Request], ...] = ()


def is_session_file(path: Path | str) -> bool:
    """Tell by its name whether a path is a session."""
    return str(path).lower().endswith(SUFFIX)


# ---------------------------------------------------------------- writing


def write(session: StoredSession, file: Path) -> None:
    """Write a session; an older file stays until the new one is complete.

    Raises
    ------
    ExportError
        If the disk or the folder does not let it be written.
    """
    values = {
        "format": FORMAT,
        "version": VERSION,
        "program": __version__,
        "saved": datetime.now(UTC).isoformat(timespec="seconds"),
        "scans": [_scan_values(scan, file.absolute().parent) for scan in session.scans],
        "shown": None if session.shown is None else {**asdict(session.shown), "slice": session.slice_index},
        "recipe": session.request.to_dict(),
        "view": asdict(session.view),
        "results": [{**asdict(place), "recipe": request.to_dict()} for place, request in session.results],
    }
    text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False)
    if not _is_unicode(text):  # the name of a file may be any bytes
        text = json.dumps(values, indent=2, allow_nan=False)
    with atomic_file(file) as temporary:
        temporary.write_bytes(text.encode() + b"\n")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _scan_values(scan: Scan, folder: Path) -> dict[str, Any]:
    path = scan.path.absolute()
    try:
        near = Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive
        near = ""
    size, digest = contents(path)
    simulation = None if scan.simulation is None else scan.simulation.to_dict()
    return {"path": near, "absolute": str(path), "size": size, "digest": digest, "simulation": simulation}


def contents(path: Path, *, is_dated: bool = False) -> tuple[int | None, str | None]:
    """Return bytes and a short digest of what is in a file, or of the names and sizes in a folder; None if unreadable.

    Sessions, and what is hidden, are not a part of the scans beside them.

    Parameters
    ----------
    path
        File or folder.
    is_dated
        Look in a folder also at when its files were written, which their copies need not keep.
    """
    digest = hashlib.blake2b(digest_size=8)
    try:
        if path.is_dir():
            size = 0
            for name, n_bytes, written_ns in sorted(_listed(path)):
                size += n_bytes
                date = f"{written_ns}\0" if is_dated else ""
                digest.update(f"{name}\0{n_bytes}\0{date}".encode(errors="surrogateescape"))
            return size, digest.hexdigest()
        size = path.stat().st_size
        with path.open("rb") as file:
            for number in range(_N_BLOCKS):
                file.seek(number * max(size - _BLOCK_BYTES, 0) // (_N_BLOCKS - 1))
                digest.update(file.read(_BLOCK_BYTES))
    except (OSError, ValueError):  # a null byte in the name
        return None, None
    return size, digest.hexdigest()


def _listed(folder: Path) -> list[tuple[str, int, int]]:
    found = []
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and not is_session_file(name):
                path = Path(where) / name
                facts = path.stat()
                found.append((path.relative_to(folder).as_posix(), facts.st_size, facts.st_mtime_ns))
    return found


# ---------------------------------------------------------------- reading


def read(file: Path) -> StoredSession:
    """Read a session and look for its scans.

    Raises
    ------
    FileError
        If it is damaged, something else, or of a version that this program does not know.
    """
    found = _json(file)
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise FileError(
            file,
            "it is no session: a file that File > Save session… wrote says so in its field 'format', and this one does "
            "not. Choose another file.",
        )
    version = found.get("version")
    if version != VERSION or isinstance(version, bool):
        remedy = (
            f"Update the program, or save the session again with version {VERSION}"
            if isinstance(version, int) and version > VERSION
            else _REMEDY
        )
        raise FileError(file, f"its version is {as_written(version)}; this program reads version {VERSION}. {remedy}.")
    values = Fields(file, "session", _REMEDY, found)
    values.skip("format", "version", "program", "saved")
    scans = tuple(_scan(part, file.absolute().parent) for part in values.parts("scans"))
    shown = values.part("shown", optional=True)
    place, index = None, 0
    if shown is not None:
        index = shown.whole("slice")
        place = _place(shown, len(scans))
    session = StoredSession(
        scans, place, index, _request(values, "recipe"), _view(values.part("view")),
        tuple(_result(part, len(scans)) for part in values.parts("results")),
    )  # fmt: skip
    values.end()
    return session


def _json(file: Path) -> Any:
    def refuse(name: str) -> NoReturn:
        raise ValueError(f"{name} is no number of JSON")

    try:
        size = file.stat().st_size
        if size > _LARGEST_BYTES:
            raise FileError(
                file, f"it is no session: it has {size} bytes, and a session a few thousand. Choose another."
            )
        return json.loads(file.read_text(encoding="utf-8-sig"), parse_constant=refuse)
    except OSError as error:
        raise FileError(file, f"the session cannot be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError) as error:
        reason = "it nests too deep" if isinstance(error, RecursionError) else str(error)
        raise FileError(
            file, f"it is no session, or a damaged one: JSON was expected, and {reason}. Choose another file."
        ) from None


def _scan(values: Fields, folder: Path) -> Scan:
    near, absolute = values.text("path"), values.text("absolute")
    size = values.whole("size", optional=True)
    digest = values.text("digest", optional=True)
    simulation = values.part("simulation", optional=True)
    values.end()
    scan = Scan(Path(absolute), None if simulation is None else _simulation(simulation), size, digest)
    places = [Path(os.path.normpath(folder / near))] if near else []
    there = [path for path in dict.fromkeys((*places, scan.path)) if _exists(path)]
    if not there:
        return replace(scan, state="missing")
    # Of two that are there, such as one that was copied and one that was overwritten, that with the same contents.
    same = next((path for path in there if size is None or contents(path) == (size, digest)), None)
    return replace(scan, path=same or there[0], state="" if same else "changed")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _place(values: Fields, n_scans: int) -> Place:
    place = Place(values.whole("scan", high=max(n_scans - 1, 0)), values.whole("series"), values.text("title"))
    if not n_scans:
        values.refuse("scan", place.scan, "a scan of the list, which is empty")
    values.end()
    return place


def _result(values: Fields, n_scans: int) -> tuple[Place, Request]:
    request = _request(values, "recipe")
    if request.slices is None or min(request.slices) < 0:
        values.refuse("recipe.slices", request.slices, "the slices that were reconstructed, counted from 0")
    return _place(values, n_scans), request


def _view(values: Fields) -> ViewOptions:
    components = [component.value for component in Component]
    parts = values.part("levels")
    limits = {name: parts.numbers(name, 2) for name in list(parts.found)}
    for name, (low, high) in limits.items():
        if name not in components:
            parts.refuse(name, [low, high], f"limits of one of {', '.join(components)}")
        if not low < high:
            parts.refuse(name, [low, high], "black below white")
    presets = [preset.key for preset in levels.PRESETS + levels.OWN_PRESETS]
    region = values.wholes("region", 4)
    if region is not None and not (region[0] < region[2] and region[1] < region[3]):
        values.refuse("region", list(region), "left and top below right and bottom")
    options = ViewOptions(
        component=values.text("component", components),
        levels={name: (pair[0], pair[1]) for name, pair in limits.items()},
        preset=values.text("preset", presets, optional=True),
        colours=values.text("colours", list(levels.COLOUR_MAPS)),
        is_inverted=values.switch("is_inverted"),
        layout=values.text("layout", _LAYOUTS),
        shows_errors=values.switch("shows_errors"),
        # Sessions were saved before errors had signs.
        has_signed_errors="has_signed_errors" in values.found and values.switch("has_signed_errors"),
        has_annotations=values.switch("has_annotations"),
        error_gain=values.one_of("error_gain", _gains()),
        has_crosshair=values.switch("has_crosshair"),
        crosshair=values.wholes("crosshair", 2),
        region=region,
        has_wipe=values.switch("has_wipe"),
        wipe=values.number("wipe", 0, 1),
        zoom=values.number("zoom", 0.25, 40),
        centre=values.numbers("centre", 2, 0, 1),
    )
    values.end()
    return options


def _gains() -> Sequence[int]:
    gains: Sequence[int] = next(item for item in fields(Settings) if item.name == "error_gain").metadata["choices"]
    return gains


def _request(values: Fields, name: str) -> Request:
    found = values.part(name).found
    overrides = found.get("overrides")
    if isinstance(overrides, dict):
        for key, value in overrides.items():
            if not all(is_plain(one) for one in (value if isinstance(value, list) else [value])):
                values.refuse(f"{name}.overrides.{key}", value, "a number, a text, true, false or null")
    try:
        return Request.from_dict(found)
    except (RequestError, TypeError, ValueError) as error:
        values.damaged(name, str(error))


def _simulation(values: Fields) -> SimulationSpec:
    from recon.simulate import SimulationSpec

    n_coils, phase = values.whole("n_coils"), values.number("phase", 0, 100)
    noise, seed, origin = values.number("noise", 0, 100), values.whole("seed"), values.text("origin")
    values.end()
    try:
        return SimulationSpec(n_coils, phase, noise, seed, origin)
    except RequestError as error:
        values.damaged("", str(error))
