"""A stored reconstruction, read back from its HDF5 file to be written in other formats.

The file holds the images, the record, and where they came from: geometry and header of the scan. DICOM files of a DICOM
scan and the figure need the scan itself, which is looked for where it was.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recon.data import Geometry, Header, Series
from recon.errors import FileError, ModelError, MRIError, together
from recon.io import hdf5, sniff
from recon.masks import SamplingMask
from recon.request import Request
from recon.result import ENDINGS, Reconstruction
from recon.simulate import SimulationSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class StoredReconstruction(Reconstruction):
    """A reconstruction whose record is the one that was made with it.

    Attributes
    ----------
    path
        The file that it was read from.
    stored_record
        The record.
    scan
        The scan that it was made of; None where it was not found.
    has_stages
        True when the file holds the stages too.
    """

    path: Path = Path()
    stored_record: Mapping[str, Any] = field(default_factory=dict)
    scan: Series | None = None
    has_stages: bool = False

    @property
    def model_title(self) -> str:
        try:
            return super().model_title
        except ModelError:  # a plug-in that is not installed any more
            return self.request.model

    def record(self) -> dict[str, Any]:
        return dict(self.stored_record)

    def export(self, folder: Path, formats: Sequence[str], problems: list[Exception] | None = None) -> list[Path]:
        """Write the result in more formats, and add them to its record.

        Parameters
        ----------
        folder
            Where.
        formats
            Any of `recon.result.FORMATS`.
        problems
            Takes why formats could not be written; None raises it.

        Returns
        -------
        The paths that were written; the last one is the record. None where no format could be written.

        Raises
        ------
        FileError
            If a format needs the scan, and it was not found; the others are written.
        ExportError
            If something cannot be written; see `recon.result.Reconstruction.save`.
        """
        needing = {"png", "movie"} | ({"dicom", "dicom-anonymous"} if self.series.kind == "dicom" else set())
        lacking = needing & set(formats) if self.scan is None else set()
        failed: list[Exception] = []
        if lacking:
            failed.append(
                FileError(
                    self.path,
                    f"the scan that it was made of, {self.series.path}, was not found as it was, and "
                    f"{' and '.join(sorted(lacking))} {'needs' if len(lacking) == 1 else 'need'} it; say where it is "
                    "with --scan.",
                )
            )
        possible = [one for one in formats if one not in lacking]
        written = []
        if possible or not lacking:
            name = self.path.name.removesuffix(ENDINGS["hdf5"])
            written = self.save(folder, possible, stages=self.has_stages, name=name, problems=failed)
        if failed and problems is None:
            raise together(failed)
        if problems is not None:
            problems += failed
        return written


def find(path: Path) -> Path:
    """Return the HDF5 file of a result, which may be named by its record.

    Raises
    ------
    FileError
        If the record names none, or it is not beside the record.
    """
    if path.suffix != ".json":
        return path
    for name in _listed(path):
        if name.endswith(ENDINGS["hdf5"]) and (path.parent / name).exists():
            return path.parent / name
    raise FileError(path, "names no HDF5 file beside it, which holds the images; reconstruct again with --format hdf5.")


def read(path: Path, scan: Path | None = None) -> StoredReconstruction:
    """Read a stored reconstruction.

    Parameters
    ----------
    path
        The HDF5 file, or the record beside it.
    scan
        Where the scan is that it was made of; None looks where it was.

    Raises
    ------
    FileError
        If the file is no such result, or the scan that was named is another one.
    """
    path = find(path)
    if not path.exists():
        raise FileError(path, "there is no such file; give the .h5 or the .json file of a result.")
    if path.is_dir():
        raise FileError(path, "is a folder; give the .h5 or the .json files of results.")
    if sniff(path) != "hdf5":
        raise FileError(path, "is no HDF5 file; give the .h5 or the .json file of a result.")
    with hdf5.opened(path) as file:
        if not {"reconstruction", "mask", "record", "origin"} <= set(file):
            raise FileError(path, "is no result of this program; give one, or reconstruct the scan.")
        final, mask = file["reconstruction"][()], file["mask"][()]
        phase = file["phase"][()] if "phase" in file else None
        texts = [file[name].asstr()[()] for name in ("record", "origin")]
        stages = [
            (str(one.attrs["title"]), tuple(json.loads(one.attrs["path"])), one[()])
            for one in (file["stages"][name] for name in file.get("stages", ()))
        ]
    try:
        record, origin = (json.loads(text) for text in texts)
        request = Request.from_dict(_with_tuples(record["request"]))
        series = _series(origin, mask)
        found = _scan(series, origin, scan)
        indices = tuple(int(index) for index in record["slices"])
        if final.ndim != 3 or len(final) != len(indices) or final.dtype != np.float32:
            raise ValueError(f"{final.dtype} images of shape {final.shape} for {len(indices)} slices")
        if phase is not None and (phase.shape != final.shape or phase.dtype != np.float32):
            raise ValueError(f"phase is {phase.dtype} of shape {phase.shape}")
        kept = [stage for stage in stages if stage[1] != ("zero-filled",)]
        return StoredReconstruction(
            series=series if found is None else found,
            request=request,
            indices=indices,
            final=final,
            zero_filled=_zero_filled(stages, found, request, indices, final.shape),
            reference=_reference(found, indices),
            phase=phase,
            mask=SamplingMask(mask.astype(bool), int(record["sampling"]["n_low_frequency"])),
            stages={title: volume for title, _, volume in kept},
            stage_paths=tuple(stage_path for _, stage_path, _ in kept),
            seconds=float(record["seconds"]),
            device=str(record["device"]),
            precision=str(record["precision"]),
            n_virtual_coils=int(record["n_virtual_coils"]),
            grid=str(record["sampling"]["grid"]),
            weights_sha256=record["weights_sha256"],
            parameters=dict(record["parameters"]),
            parameter_origins=dict(record["parameter_origins"]),
            warnings=tuple(record["warnings"]),
            versions=record["versions"],
            path=path,
            stored_record=record,
            scan=found,
            has_stages=bool(stages),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileError(path, f"holds a damaged record ({error!r}); reconstruct the scan again.") from error


def describe_origin(series: Series) -> dict[str, Any]:
    """Return what `read` needs to know of a scan, as plain values for JSON.

    Who the patient is stays out: of a DICOM scan, whose files say it, the header is not stored.
    """
    where = os.path.commonpath([file.parent for file in series.instances]) if len(series.instances) > 1 else series.path
    return {
        "scan": str(Path(where).absolute()),
        "path": str(series.path),
        "title": series.title,
        "kind": series.kind,
        "n_slices": series.n_slices,
        "n_coils": series.n_coils,
        "matrix": list(series.matrix),
        "recon_size": list(series.recon_size),
        "is_undersampled": series.acquired_mask is not None,
        "simulation": None if series.simulation is None else series.simulation.to_dict(),
        "geometry": asdict(series.geometry),
        "fingerprint": series.fingerprint,
        "part": series.part,
        "file_fingerprint": series.file_fingerprint,
        "header": None if series.kind == "dicom" else asdict(series.header) | {"extra": dict(series.header.extra)},
    }


class _NoSource:
    """The slices of a scan that is not here."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def kspace(self, index: int) -> NDArray[np.complex64]:
        raise FileError(self._path, f"slice {index} (counted from 0) was asked for, and the scan is not there.")

    def reference(self, index: int) -> NDArray[np.float32] | None:
        raise FileError(
            self._path, f"the reference of slice {index} (counted from 0) was asked for, and the scan is not there."
        )


def _series(origin: Mapping[str, Any], mask: NDArray[Any]) -> Series:
    values = _with_tuples(origin)
    path = Path(values["path"])
    return Series(
        path=path,
        title=str(values["title"]),
        kind=values["kind"],
        n_slices=int(values["n_slices"]),
        n_coils=int(values["n_coils"]),
        matrix=values["matrix"],
        recon_size=values["recon_size"],
        source=_NoSource(path),
        has_reference=False,
        header=Header() if values["header"] is None else Header(**values["header"]),
        geometry=Geometry(**values["geometry"]),
        acquired_mask=mask.astype(bool) if values["is_undersampled"] else None,
        simulation=None if values["simulation"] is None else SimulationSpec(**values["simulation"]),
        fingerprint=str(values["fingerprint"]),
        part=str(values.get("part", "")),
        file_fingerprint=str(values.get("file_fingerprint", "")),
    )


def _scan(series: Series, origin: Mapping[str, Any], named: Path | None) -> Series | None:
    """The series of the scan, opened again; None where it is not there any more."""
    from recon.io import open_study

    simulation = None if series.has_kspace else series.simulation
    try:
        study = open_study(named or Path(origin["scan"]), simulation)
    except MRIError:
        if named is not None:
            raise
        return None
    alike = ("kind", "n_slices", "n_coils", "matrix", "recon_size", "fingerprint")
    candidates = [one for one in study.series if all(getattr(one, name) == getattr(series, name) for name in alike)]
    titled = [one for one in candidates if one.title == series.title]
    # A file that was renamed has another title; named by the user, it is the one all the same.
    if titled or (named is not None and len(candidates) == 1):
        return (titled or candidates)[0]
    if named is not None:
        slices = "1 slice" if series.n_slices == 1 else f"{series.n_slices} slices"
        raise FileError(named, f"holds no scan like {series.title} of {slices}; give the one it was.")
    return None


def _zero_filled(
    stages: Sequence[tuple[str, tuple[str | int, ...], NDArray[Any]]],
    scan: Series | None,
    request: Request,
    indices: Sequence[int],
    shape: tuple[int, ...],
) -> NDArray[np.float32]:
    for _, path, volume in stages:
        if path == ("zero-filled",):
            return np.asarray(volume, np.float32)
    if scan is None:
        return np.zeros(shape, np.float32)
    from recon.preview import preview

    return np.stack([preview(scan, index, request)[0] for index in indices])


def _reference(scan: Series | None, indices: Sequence[int]) -> NDArray[np.float32] | None:
    reference = None if scan is None else scan.reference
    return None if reference is None else np.stack([reference[index] for index in indices])


def _with_tuples(value: Any) -> Any:
    """JSON knows lists only; what is frozen holds tuples."""
    if isinstance(value, dict):
        return {key: _with_tuples(item) for key, item in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value


def _listed(record: Path) -> list[str]:
    try:
        files = json.loads(record.read_text("utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileError(record, f"is no record of a result ({error}).") from None
    return [str(file) for file in files]
