"""DICOM studies in: files of any vendor, sorted into series by position, k-space simulated from their magnitude images.

Headers are read once, at opening; pixels one slice at a time, when a `recon.data.Series` is asked for them. What is no
grey magnitude MR volume is declined by name, and never keeps the rest from opening.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from recon.data import Declined, Geometry, Header, Series, Study
from recon.errors import FileError
from recon.io import folders
from recon.io.dicom.frame import Frame, Scan, is_dicom, quietly, read_header, read_image, scan
from recon.io.dicom.header import classic, header_of, integer, text, value_of
from recon.io.dicom.stack import Stack, normal_of, stacks_of
from recon.io.simulated import RESULT_NOTE, SimulatedSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from recon.simulate import SimulationSpec

__all__ = ["DicomSource", "is_dicom", "read"]

_MISSING_SLICE = 1.5
_UNEVEN_SPACING = 0.02
_UNEVEN_MM = 0.01


class DicomSource(SimulatedSource):
    """Reads the images of one DICOM series."""

    frames: tuple[Frame, ...]

    def image(self, index: int) -> NDArray[np.float32]:
        """Return the magnitude ``(y, x)`` that the file holds."""
        return read_image(self.frames[index])

    def window(self, index: int) -> tuple[float, float] | None:
        """Return the first and the last value of the display window that the header of a slice names, or None.

        Where small values are stored to be shown bright, what is shown is turned around, and the window is of neither.
        """
        window = self.frames[index].window
        return None if self.frames[index].inverted or window is None or window[1] <= window[0] else window


def read(path: Path, simulation: SimulationSpec | None = None) -> Study:
    """Open a DICOM file, or a folder and its sub-folders.

    Parameters
    ----------
    path
        File, or folder with files of any number of series, in any order.
    simulation
        How k-space is made from the images; None takes the defaults.

    Raises
    ------
    FileError
        If nothing in it can be opened, with the reasons.
    """
    from recon.simulate import SimulationSpec

    simulation = simulation or SimulationSpec()
    scans: list[tuple[Path, Scan]] = []
    refused: list[tuple[Path, str, str]] = []  # file, series, reason
    for file in _files(path):
        try:
            found = scan(file)
        except FileError as error:
            refused.append((file, "", error.problem))
            continue
        scans.append((file, found))
        refused += [(file, found.series_uid, _named(found.title, reason)) for reason in found.declined]
    frames = _unique(frame for _, found in scans for frame in found.frames)
    titles = {found.series_uid: found.title for _, found in scans}
    series: list[Series] = []
    for stack in stacks_of(frames):
        if stack.reason is None:
            try:
                series.append(_series(path, stack, simulation))
            except FileError as error:
                refused.append((stack.frames[0].path, "", error.problem))
        else:
            first = stack.frames[0]
            refused.append((first.path, first.series_uid, _named(titles.get(first.series_uid, ""), stack.reason)))
    declined = _summed(refused)
    if not series:
        raise FileError(path, _nothing(path, declined))
    ordered = sorted(series, key=lambda item: _number_of(item.title))
    return Study(path=path, title=_study_title(path, ordered), series=_with_paths(path, ordered), declined=declined)


# ---- files ------------------------------------------------------------------------------------------------------


def _files(path: Path) -> Iterator[Path]:
    """DICOM files of a folder tree in the order of their names, or the one file."""
    return (file for file in folders.files(path) if is_dicom(file))


def _unique(frames: Iterator[Frame]) -> list[Frame]:
    """The same object copied twice into a folder counts once."""
    return list({frame.key: frame for frame in frames}.values())


def _named(title: str, reason: str) -> str:
    return f"(“{title}”) {reason}" if title else reason


def _summed(refused: list[tuple[Path, str, str]]) -> tuple[Declined, ...]:
    """One entry for all files of a series that are declined for the same reason."""
    counts = Counter((uid, reason) for _, uid, reason in refused if uid)
    result: list[Declined] = []
    for file, uid, reason in refused:
        count = counts.pop((uid, reason), 0) if uid else 1
        if count:
            result.append(Declined(file, f"{reason} ({count} files)" if count > 1 else reason))
    return tuple(result)


def _nothing(path: Path, declined: Sequence[Declined]) -> str:
    if not declined:
        return "holds no DICOM file" if path.is_dir() else "is no DICOM file"
    if not path.is_dir():
        return declined[0].reason
    shown = "; ".join(f"{entry.path.name} {entry.reason}" for entry in declined[:3])
    more = f"; and {len(declined) - 3} more" if len(declined) > 3 else ""
    return f"holds no MR volume that can be opened: {shown}{more}."


# ---- a series ---------------------------------------------------------------------------------------------------


def _series(path: Path, stack: Stack, simulation: SimulationSpec) -> Series:
    frames = stack.frames
    first = frames[0]
    with quietly():
        whole = read_header(first)
        said = classic(whole, first.number)
        is_result = _is_result(whole)
        header = header_of(said)
        number = integer(said, "SeriesNumber")
        name = (
            text(said, "SeriesDescription") or text(said, "ProtocolName") or text(said, "SequenceName") or "MR series"
        )
        study = text(said, "StudyDescription")
    if study:
        header = replace(header, extra={"Study": study, **header.extra})
    notes = [simulation.note]
    geometry = _geometry(frames, notes)
    spacing_mm = _spacings(geometry)
    if spacing_mm.size:
        header = replace(header, extra={**header.extra, "Slice spacing (mm)": f"{float(np.median(spacing_mm)):g}"})
    if is_result:
        notes.append(RESULT_NOTE)
    if first.inverted:
        notes.append("Its grey values are stored inverted (MONOCHROME1) and were turned round.")
    title = name if number is None else f"{number} · {name}"
    return Series(
        path=path,
        title=f"{title} · {stack.label}" if stack.label else title,
        kind="dicom",
        n_slices=len(frames),
        n_coils=simulation.n_coils,
        matrix=first.size,
        recon_size=first.size,
        source=DicomSource(frames, simulation),
        has_reference=True,
        header=_of_frame(header, first),
        geometry=geometry,
        simulation=simulation,
        instances=tuple(dict.fromkeys(frame.path for frame in frames)),
        notes=tuple(notes),
        fingerprint=hashlib.sha256("/".join(frame.key for frame in frames).encode()).hexdigest(),
        is_result=is_result,
    )


def _is_result(dataset: Dataset) -> bool:
    """True for an image that this program exported."""
    items = value_of(dataset, "ContributingEquipmentSequence") or []
    return any(text(item, "ManufacturerModelName") == "mri-workstation" for item in items)


def _of_frame(header: Header, frame: Frame) -> Header:
    """The header with what is the frame's own."""
    header = replace(header, echo_time_ms=frame.echo_time_ms, inversion_time_ms=frame.inversion_time_ms or None)
    if frame.tile is None:
        return header
    # A mosaic's header tells of the whole picture.
    rows, columns = frame.size
    fov_mm = None
    if frame.spacing_mm is not None:
        fov_mm = (columns * frame.spacing_mm[1], rows * frame.spacing_mm[0], frame.thickness_mm or 0.0)
    return replace(header, recon_matrix=(columns, rows, 1), recon_fov_mm=fov_mm)


def _geometry(frames: Sequence[Frame], notes: list[str]) -> Geometry:
    first = frames[0]
    if first.spacing_mm is None:
        notes.append("The files do not say how large a pixel is; 1 mm is assumed.")
    spacing_mm = first.spacing_mm or Geometry.pixel_spacing_mm
    thickness_mm = first.thickness_mm if first.thickness_mm and first.thickness_mm > 0 else None
    positions = tuple(frame.position_mm for frame in frames if frame.position_mm is not None)
    if first.orientation is None or len(positions) < len(frames):
        if len(frames) > 1:
            notes.append("The files do not say where the slices lie; they are in the order of their instance numbers.")
        return Geometry(
            pixel_spacing_mm=spacing_mm,
            slice_thickness_mm=thickness_mm or Geometry.slice_thickness_mm,
            is_synthetic=True,
            spacing_is_assumed=first.spacing_mm is None,
            thickness_is_assumed=thickness_mm is None,
        )
    gaps_mm = np.diff(np.array(positions) @ normal_of(first.orientation))
    if gaps_mm.size:
        _check_gaps(gaps_mm, notes)
    usual_mm = float(np.median(gaps_mm)) if gaps_mm.size else Geometry.slice_thickness_mm
    return Geometry(
        pixel_spacing_mm=spacing_mm,
        slice_thickness_mm=thickness_mm or usual_mm,
        orientation=first.orientation,
        positions_mm=positions,
        is_synthetic=False,
        spacing_is_assumed=first.spacing_mm is None,
        thickness_is_assumed=thickness_mm is None and not gaps_mm.size,
    )


def _spacings(geometry: Geometry) -> NDArray[np.float64]:
    if not geometry.positions_mm:
        return np.zeros(0)
    return np.diff(np.array(geometry.positions_mm) @ normal_of(geometry.orientation))


def _check_gaps(gaps_mm: NDArray[np.float64], notes: list[str]) -> None:
    usual_mm = float(np.median(gaps_mm))
    missing = [
        (index, round(gap / usual_mm) - 1)
        for index, gap in enumerate(gaps_mm)
        if usual_mm > 0 and gap > _MISSING_SLICE * usual_mm
    ]
    if missing:
        n_missing = max(sum(count for _, count in missing), 1)
        where = ", ".join(f"{index} and {index + 1}" for index, _ in missing[:3])
        slices = "1 slice seems" if n_missing == 1 else f"{n_missing} slices seem"
        notes.append(f"{slices} to be missing: the gap between slices {where} is too wide. Volumes are not continuous.")
    elif float(np.ptp(gaps_mm)) > max(_UNEVEN_SPACING * usual_mm, _UNEVEN_MM):
        notes.append(f"The slices are not evenly spaced: {gaps_mm.min():.2f} to {gaps_mm.max():.2f} mm apart.")


def _number_of(title: str) -> tuple[int, str]:
    number = title.split(" · ", 1)[0]
    return (int(number) if number.lstrip("-").isdigit() else 2**31, title)


def _study_title(path: Path, series: Sequence[Series]) -> str:
    """Description of the study, else the name of the folder; never a patient's name."""
    described = {item.header.extra.get("Study", "") for item in series}
    only = described.pop() if len(described) == 1 else ""
    return only or path.resolve().name or str(path)


def _with_paths(path: Path, series: Sequence[Series]) -> tuple[Series, ...]:
    """Name each series by its folder where that is its own, else by its first file, so that results get own names."""
    if not path.is_dir():
        return tuple(series)
    owners = Counter(folder for item in series for folder in {file.parent for file in item.instances})
    result = []
    for item in series:
        parents = {file.parent for file in item.instances}
        own = next(iter(parents)) if len(parents) == 1 and owners[next(iter(parents))] == 1 else None
        result.append(replace(item, path=own or item.instances[0]))
    return tuple(result)
