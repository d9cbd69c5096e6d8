"""ISMRMRD raw data of Cartesian scans: HDF5 with an XML header and a table of acquisitions.

Opening reads the headers of the acquisitions and a few lines of samples; a slice is put together from its own readouts
when it is asked for. Each contrast, repetition, phase, set and plane of a scan is a series of its own.

References
----------
Inati et al., ISMRM Raw data format: A proposed standard for MRI raw datasets, MRM 77:411 (2017).
"""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from recon.data import Declined, Header, Series, Study
from recon.errors import FileError
from recon.io import coil_noise, geometry, hdf5, reference, sampling, stamps
from recon.io.ismrmrd import acquisitions, encoding, phase_encodes, readouts
from recon.io.ismrmrd import header as ismrmrd_header

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from recon.data import Geometry

# Of one file. A scan of hundreds of repetitions is opened in part, which is said.
MAX_SERIES = 64
# Groups of a file that are looked at, and how deep.
_MAX_GROUPS, _MAX_DEPTH = 256, 3
_FINGERPRINT_LINES = 2
# What makes a series of its own, in the order of titles.
_KEYS = ("encoding", "contrast", "phase", "repetition", "set")
# Slices whose directions agree within this lie in one plane.
_SAME_PLANE = 1e-3


@dataclass(frozen=True)
class _Group:
    """One scan in a file: its name in the file, its header as text, why there is none, and its acquisitions."""

    name: str
    xml: bytes | str | None
    problem: str
    table: NDArray[Any]


@dataclass(frozen=True)
class _Scan:
    """Readouts of one series, and the words that tell it from the others."""

    words: tuple[str, ...]
    members: NDArray[np.int64]


@dataclass(frozen=True)
class _Slices:
    """Slices of a series, sorted along their normal.

    Attributes
    ----------
    places
        Slab and place in it of each slice.
    geometry
        Where they lie.
    """

    places: tuple[tuple[int, int], ...]
    geometry: Geometry


def is_ismrmrd(path: Path) -> bool:
    """Return True for an HDF5 file that holds acquisitions, and no k-space in the fastMRI layout.

    Raises
    ------
    FileError
        If it cannot be read as HDF5.
    """
    with hdf5.opened(path) as file:
        return "kspace" not in file and next(_containers(file), None) is not None


def read(path: Path) -> Study:
    """Open an ISMRMRD file; no slice is read.

    Raises
    ------
    FileError
        If it is damaged, or holds no Cartesian scan.
    """
    stamp = stamps.of(path)
    groups: list[_Group] = []
    declined: list[Declined] = []
    with hdf5.opened(path) as file:
        place = readouts.File(path, int(file.userblock_size), stamp)
        for container in _containers(file):
            try:
                groups.append(_group(container, path))
            except FileError as error:
                declined.append(Declined(path, error.problem))
    series: list[Series] = []
    for group in groups:
        # What tells two scans of one file apart is the name of their groups.
        title = path.stem if len(groups) == 1 else f"{path.stem} · {group.name or 'top level'}"
        with np.errstate(all="ignore"):  # values of damaged headers are found and named where they matter
            found, refused = _read_group(place, group, title, MAX_SERIES - len(series))
        series += found
        declined += refused
    if not series:
        raise FileError(path, declined[0].reason)
    return Study(path=path, title=path.stem, series=_told_apart(series), declined=tuple(declined))


# ---- the file ---------------------------------------------------------------------------------------------------


def _containers(file: Any) -> Iterator[Any]:
    """Groups that hold a scan, or should."""
    import h5py

    pending, n_seen = deque([(file, 0)]), 0
    while pending:
        group, depth = pending.popleft()
        names = [name for _, name in zip(range(_MAX_GROUPS), group, strict=False)]
        if _holds_scan(group, names):
            yield group
            if "data" in names:
                continue
        for name in names if depth < _MAX_DEPTH else ():
            n_seen += 1
            if n_seen <= _MAX_GROUPS and hdf5.hard_link(group, name) and group.get(name, getclass=True) is h5py.Group:
                pending.append((group[name], depth + 1))


def _holds_scan(group: Any, names: Sequence[str]) -> bool:
    if "data" not in names:
        return "xml" in names  # a scan whose acquisitions were never written
    if "header" in names and "attributes" in names:
        return False  # images, as the standard stores them
    dataset = hdf5.own_dataset(group, "data")
    return "xml" in names or group.name == "/dataset" or (dataset is not None and acquisitions.is_table(dataset))


def _group(container: Any, path: Path) -> _Group:
    name = container.name.lstrip("/")
    where = f"{name}/" if name else ""
    if "data" not in container:
        raise FileError(
            path,
            f"looks like ISMRMRD raw data: it holds a header `{where}xml`, but no acquisitions `{where}data`, so that "
            "there is nothing to reconstruct. Convert the raw data again.",
        )
    dataset = hdf5.own_dataset(container, "data")
    if dataset is None:
        raise FileError(
            path,
            f"looks like ISMRMRD raw data, but `{where}data` is no dataset of this file; a table of acquisitions was "
            "expected. Convert the raw data again.",
        )
    table = acquisitions.read(dataset, path)
    if not len(table):
        raise FileError(path, f"`{where}data` holds no acquisitions; the ISMRMRD file is empty. Convert it again.")
    xml, problem = None, ""
    if "xml" not in container:
        return _Group(name, None, "there is none", table)
    try:
        xml = hdf5.text(container, "xml", path, ismrmrd_header.MAX_HEADER_BYTES)
        ismrmrd_header.parse(xml)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        xml, problem = None, hdf5.detail(error)
    return _Group(name, xml, problem, table)


# ---- series -----------------------------------------------------------------------------------------------------


def _told_apart(series: Sequence[Series]) -> tuple[Series, ...]:
    """What several series of one file have in common, and what each is called among them."""
    if len(series) < 2:
        return tuple(series)
    shared = hashlib.sha256("".join(one.fingerprint for one in series).encode()).hexdigest()
    return tuple(
        replace(one, part=one.title.removeprefix(f"{one.path.stem} · "), file_fingerprint=shared) for one in series
    )


def _read_group(file: readouts.File, group: _Group, title: str, n_most: int) -> tuple[list[Series], list[Declined]]:
    """The series of one scan, and those of it that cannot be opened."""
    table, path = group.table, file.path
    noise = acquisitions.flagged(table, acquisitions.NOISE)
    left_out = acquisitions.flagged(table, *acquisitions.LEFT_OUT) & ~noise
    calibrates = acquisitions.flagged(table, acquisitions.CALIBRATION)
    images = acquisitions.flagged(table, acquisitions.CALIBRATION_AND_IMAGING) | ~calibrates
    imaging = ~noise & ~left_out & images
    if not imaging.any():
        problem = f"holds {len(table)} acquisitions, but none of an image; there is nothing to reconstruct."
        return [], [Declined(path, problem)]
    notes = _left_out_notes(table[left_out])
    calibration = table[~noise & ~left_out & ~images]
    encodings = np.unique(table["encoding"][imaging])
    elsewhere = ~np.isin(calibration["encoding"], encodings)
    if elsewhere.any():
        notes.append(
            f"{int(elsewhere.sum())} calibration readouts with an encoding of their own are left out: they lie on "
            "another grid."
        )
    # Most tables hold one scan and nothing else: they need no copy.
    lines = table if imaging.all() else table[imaging]
    series: list[Series] = []
    declined: list[Declined] = []
    scans = _scans(lines)
    for number, scan in enumerate(scans):
        if number >= n_most:
            which = f", from {', '.join(scan.words)} on," if scan.words else ""
            reason = (
                f"{len(scans) - number} further scans in it{which} were left out: {MAX_SERIES} are opened of a file."
            )
            declined.append(Declined(path, reason))
            break
        own = lines if len(scan.members) == len(lines) else lines[scan.members]
        same = np.all([calibration[name] == own[name][0] for name in _KEYS], axis=0)
        same &= np.isin(calibration["slice"], own["slice"])
        full_title = " · ".join([title, *scan.words])
        try:
            series.append(_series(file, group, own, calibration[same], table[noise], full_title, notes))
        except FileError as error:
            where = f"{', '.join(scan.words)}: " if scan.words else ""
            declined.append(Declined(path, f"{where}{error.problem}"))
    return series, declined


def _scans(lines: NDArray[Any]) -> list[_Scan]:
    """Sort readouts into series: by what makes them different, and by the plane of their slices."""
    scans = [_Scan((), np.arange(len(lines)))]
    for name in _KEYS:
        values = lines[name]
        if (values == values[0]).all():
            continue
        parts: list[_Scan] = []
        for scan in scans:
            own = values[scan.members]
            order = np.argsort(own, kind="stable")
            borders = np.flatnonzero(np.diff(own[order])) + 1
            for members in np.split(scan.members[order], borders):
                parts.append(_Scan((*scan.words, f"{name} {values[members[0]] + 1}"), members))
        scans = parts
    found: list[_Scan] = []
    for scan in scans:
        planes = _planes(lines[scan.members])
        for number, slices in enumerate(planes):
            if len(planes) == 1:
                found.append(scan)
            else:
                inside = np.isin(lines["slice"][scan.members], slices)
                found.append(_Scan((*scan.words, f"plane {number + 1}"), scan.members[inside]))
    return found


def _left_out_notes(lines: NDArray[Any]) -> list[str]:
    counts = {words: int(acquisitions.flagged(lines, flag).sum()) for flag, words in acquisitions.LEFT_OUT.items()}
    found = [f"{count} {words}" for words, count in counts.items() if count]
    return [f"Readouts that are no part of the image are left out: {', '.join(found)}."] if found else []


def _planes(lines: NDArray[Any]) -> list[NDArray[np.int64]]:
    """The slices of each plane: those of a localizer lie in several."""
    slices, first = np.unique(lines["slice"], return_index=True)
    directions = np.concatenate([lines[name][first] for name in ("read_direction", "phase_direction")], axis=1)
    planes: list[tuple[NDArray[Any], list[int]]] = []
    for number, own in zip(slices.tolist(), directions, strict=True):
        for other, members in planes:
            if not np.abs(own - other).max() > _SAME_PLANE:
                members.append(number)
                break
        else:
            planes.append((own, [number]))
    return [np.array(members) for _, members in planes]


def _series(
    file: readouts.File,
    group: _Group,
    lines: NDArray[Any],
    calibration: NDArray[Any],
    noise: NDArray[Any],
    title: str,
    notes: Sequence[str],
) -> Series:
    path = file.path
    said = [*notes]
    parsed = ismrmrd_header.ParsedHeader(Header())
    if group.xml is not None:
        parsed = ismrmrd_header.parse(group.xml, int(lines["encoding"][0]), int(lines["contrast"][0]))
    else:
        said.append(f"The scan header cannot be read ({group.problem}); pixel size and timing are unknown.")
    _check_kind(lines, group.table, parsed, path)
    if (lines["n_trajectory"] > 0).any():
        said.append("Its readouts bring trajectories, which are not used: the header says that the scan is Cartesian.")
    lines, centres = encoding.turned_round(lines)
    _check_centres(lines, centres, path)
    calibration, _ = encoding.turned_round(calibration, centres)
    grid = encoding.of(lines, parsed, path)
    said += grid.notes
    lines = phase_encodes.with_calibration(lines, calibration, grid, said)
    lines, columns = phase_encodes.sampled(lines, grid, path, said)
    acquired = sampling.from_columns(columns, grid.header_padding)
    slab_numbers, slabs = np.unique(lines["slice"], return_inverse=True)
    slices = _slices(lines, slabs.reshape(-1), len(slab_numbers), grid)
    measured_noise = _noise(file, noise, lines, said)
    source = readouts.source(file, lines, slabs.reshape(-1), grid, slices.places, measured_noise)
    if source.rows[1] - source.rows[0] < grid.matrix[0] / 2:
        raise FileError(path, "its readouts cover less than half of k-space in common; such scans are not supported.")
    said += phase_encodes.row_notes(source.rows, grid.matrix[0]) + phase_encodes.column_notes(acquired, grid.matrix[1])
    if acquired.note:
        said.insert(0, acquired.note)
    if acquired.has_full_kspace:
        said.append(reference.note(measured_noise))
    return Series(
        path=path,
        title=title,
        kind="ismrmrd",
        n_slices=len(slices.places),
        n_coils=source.shape[0],
        matrix=grid.matrix,
        recon_size=grid.recon_size,
        source=source,
        has_reference=acquired.has_full_kspace,
        header=parsed.header,
        geometry=slices.geometry,
        acquired_mask=acquired.acquired_mask,
        padding=acquired.padding,
        notes=tuple(said),
        noise=measured_noise,
        fingerprint=_fingerprint(file, lines),
    )


def _check_kind(lines: NDArray[Any], table: NDArray[Any], parsed: ismrmrd_header.ParsedHeader, path: Path) -> None:
    """Refuse what is no Cartesian scan of equal readouts."""
    trajectory = parsed.trajectory
    expected = "only Cartesian scans are supported. Grid it first, or export it as DICOM."
    if trajectory not in (None, "cartesian", "epi"):
        raise FileError(path, f"the trajectory is {trajectory}; {expected}")
    if trajectory is None and (lines["n_trajectory"] > 0).any():
        raise FileError(path, f"its readouts bring a trajectory of their own, so it is not Cartesian; {expected}")
    turned = acquisitions.flagged(lines, acquisitions.REVERSE)
    corrects = acquisitions.flagged(table, acquisitions.PHASE_CORRECTION).any()
    if trajectory == "epi" and (corrects or (turned.any() and not turned.all())):
        raise FileError(
            path,
            "is an echo-planar scan, whose lines of alternating direction need a phase correction that is not "
            "supported; correct it first, or export it as DICOM.",
        )
    if acquisitions.flagged(lines, *acquisitions.COMPRESSED).any():
        raise FileError(path, "its samples are compressed, which is not supported; convert it without compression.")
    for name, words in (("n_samples", "readouts of different lengths"), ("n_channels", "changing numbers of coils")):
        values = np.unique(lines[name])
        if len(values) > 1:
            few = ", ".join(map(str, values[:4].tolist()))
            raise FileError(path, f"has {words} ({few}{' …' if len(values) > 4 else ''}); equal ones were expected.")
        if values[0] < 1:
            raise FileError(path, f"its readouts have {'no samples' if name == 'n_samples' else 'no coils'}.")
    if (lines["channel_mask"] != lines["channel_mask"][0]).any():
        raise FileError(
            path, "its readouts are from different sets of coils (the channel mask varies); one was expected."
        )


def _check_centres(lines: NDArray[Any], centres: NDArray[np.int64], path: Path) -> None:
    """Refuse reversed readouts whose centre of k-space is neither that of forward ones nor its mirror image."""
    strange = lines["centre_sample"][~np.isin(lines["centre_sample"], centres)]
    if len(strange):
        few = ", ".join(map(str, centres[:4].tolist()))
        raise FileError(
            path,
            f"its reversed readouts have the centre of k-space at sample {strange[0]}, the others at {few}"
            f"{' …' if len(centres) > 4 else ''}; the same sample, or its mirror image, was expected. Convert the raw "
            "data again.",
        )


# ---- slices -----------------------------------------------------------------------------------------------------


def _slices(lines: NDArray[Any], slabs: NDArray[np.int64], n_slabs: int, grid: encoding.Encoding) -> _Slices:
    """Slices in the order of their places, or of their numbers where the file does not say their places."""
    begin = (grid.n_partitions - grid.n_shown) // 2
    places = [(slab, begin + place) for slab in range(n_slabs) for place in range(grid.n_shown)]
    _, first = np.unique(slabs, return_index=True)
    read, phase, across = (lines[f"{name}_direction"][0].astype(np.float64) for name in ("read", "phase", "slice"))
    orientation = geometry.orientation(read, phase)
    if orientation is not None:
        normal = np.cross(orientation[:3], orientation[3:])
        sign = np.sign(across @ normal) if abs(across @ normal) > 0.9 else 0.0
        beyond = np.array([place - grid.n_partitions // 2 for _, place in places], np.float64)
        centres = lines["position"][first].astype(np.float64)[[slab for slab, _ in places]]
        if sign or grid.n_partitions == 1:
            centres += np.outer(beyond * grid.geometry.slice_thickness_mm * (sign or 1.0), normal)
            order = np.argsort(centres @ normal, kind="stable").tolist()
            shape = grid.matrix, grid.recon_size
            known = geometry.measured(replace(grid.geometry, orientation=orientation), centres[order], *shape)
            if known is not None:
                return _Slices(tuple(places[number] for number in order), known)
    return _Slices(tuple(places), geometry.made_up(grid.geometry, grid.recon_size, len(places)))


# ---- noise and identity -----------------------------------------------------------------------------------------


def _noise(
    file: readouts.File, noise: NDArray[Any], lines: NDArray[Any], said: list[str]
) -> NDArray[np.complex64] | None:
    """Noise samples ``(coil, sample)`` that determine the covariance of the coils.

    Samples that do not are left out, and it is said: the scan itself can be reconstructed without. Their level says
    nothing, because whitening keeps that of the k-space, so they stay as they were measured.
    """
    if not len(noise):
        return None
    fits = (noise["n_channels"] == lines["n_channels"][0]) & (noise["n_samples"] > 0)
    fits &= noise["n_samples"] == noise["n_samples"][np.argmax(fits)]
    if not fits.any():
        said.append("The noise scan is ignored: it is from another number of coils.")
        return None
    noise = noise[fits]
    n_lines = -(-coil_noise.MAX_SAMPLES // int(noise["n_samples"][0]))
    try:
        samples = readouts.read(file, noise[:n_lines])
    except FileError as error:
        said.append(f"The noise scan is ignored: {error.problem}")
        return None
    values = np.concatenate(list(samples), axis=1)[:, : coil_noise.MAX_SAMPLES]
    unusable = coil_noise.problem_of(values)
    if unusable is not None:
        said.append(f"The noise scan is ignored: {unusable}")
        return None
    return values


def _fingerprint(file: readouts.File, lines: NDArray[Any]) -> str:
    """Hash of a few lines of the middle slice, near the centre of k-space; empty where they cannot be read."""
    numbers = np.unique(lines["slice"])
    own = lines[lines["slice"] == numbers[len(numbers) // 2]]
    middle = np.abs(own["step_1"] - np.median(own["step_1"])) + np.abs(own["step_2"] - np.median(own["step_2"]))
    try:
        samples = readouts.read(file, own[np.argsort(middle, kind="stable")[:_FINGERPRINT_LINES]])
    except FileError:
        return ""  # reading the slice will say so
    return hashlib.sha256(samples.tobytes()).hexdigest()
