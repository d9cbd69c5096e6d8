"""Reconstruction: what came out, with everything that is needed to say how."""

from __future__ import annotations

import json
import os
import platform
import shutil
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recon import __version__
from recon.errors import ExportError, RequestError, needs_package, together
from recon.export.atomic import is_full

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from recon.data import Series
    from recon.masks import SamplingMask
    from recon.request import Request

# format -> what the name of its file, or for DICOM of its folder, ends in.
ENDINGS = {
    "hdf5": ".h5",
    "dicom": ".dcm",
    "dicom-anonymous": ".anonymous.dcm",
    "nifti": ".nii.gz",
    "png": ".png",
    "csv": ".csv",
    "movie": ".gif",
}
# What a movie goes through; stands in the name of its file.
MOVIES = ("iterations", "slices")
# Those that hold the phase beside the magnitude, or neither of them.
_WITHOUT_PHASE_FILE = ("hdf5", "png", "csv", "movie")
FORMATS = tuple(ENDINGS)


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """The result of a request on a series.

    Attributes
    ----------
    series, request
        What was asked of what.
    indices
        Slices of the series that were done, in the order of the arrays below.
    final, zero_filled
        float32 magnitudes ``(slices, y, x)``.
    reference
        The fully sampled magnitudes, or None.
    phase
        Of ``final``, float32 in radians; None where the request did not want it.
    residuals
        ‖A x − y‖ / ‖y‖ of each slice of ``final``: how far it is from what was measured; None where that cannot be
        told. See `recon.operator.residual_norm`.
    stages
        Title to ``(slices, y, x)``, in order of appearance: the iterations or module outputs that were kept, see
        `recon.run`, and that all slices have.
    stage_paths
        The paths that belong to the titles.
    mask
        The samples that were used.
    seconds
        Wall time from the first slice's start to the last slice's end.
    parameters
        What a method without training ran with, also what it chose for this scan; of a network, which has its weights,
        ``join_coils`` where its coils were joined.
    parameter_origins
        Name of a parameter that the user set or the method chose, to a few words on where its value is from.
    warnings
        Sentences that the user must see.
    left_out
        Slices whose data cannot be used, counted from 0, to the reason, which stands in the warnings too.
    """

    series: Series
    request: Request
    indices: tuple[int, ...]
    final: NDArray[np.float32]
    zero_filled: NDArray[np.float32]
    reference: NDArray[np.float32] | None
    mask: SamplingMask
    phase: NDArray[np.float32] | None = None
    residuals: tuple[float | None, ...] = ()
    stages: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    stage_paths: tuple[tuple[str | int, ...], ...] = ()
    seconds: float = 0.0
    device: str = "cpu"
    precision: str = "float32"
    n_virtual_coils: int = 1
    grid: str = "cropped"
    weights_sha256: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    parameter_origins: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    left_out: Mapping[int, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def without_phase(self) -> Reconstruction:
        """Return the same result as a request that does not want the phase gives it."""
        return replace(self, phase=None, request=replace(self.request, phase=False))

    @property
    def is_simulated(self) -> bool:
        """True when the k-space was simulated from images."""
        return self.series.is_simulated

    @property
    def model_title(self) -> str:
        """The model as a person reads it, and whether its coils were joined."""
        from recon import models

        is_file = self.request.model.endswith(".safetensors")
        title = Path(self.request.model).stem if is_file else models.get_card(self.request.model).title
        return f"{title}, coils joined" if "join_coils" in self.parameters else title

    @property
    def name(self) -> str:
        """Stem of the files that this result is saved to: ``STEM.MODEL``."""
        return f"{self.series.stem}.{self.request.model_name}"

    @property
    def parameter_text(self) -> str:
        """The parameters as a person reads them, such as ``lambda 0.02 (set by the user), n_iterations 200``."""
        texts = []
        for name, value in self.parameters.items():
            origin = self.parameter_origins.get(name)
            shown = f"{value:g}" if isinstance(value, float) else value
            texts.append(f"{name.strip('_')} {shown}{f' ({origin})' if origin else ''}")
        return ", ".join(texts)

    @cached_property
    def metrics(self) -> dict[str, dict[str, Any]] | None:
        """PSNR, SSIM and NMSE of the final volume and its slices, or None without a usable reference."""
        return self._score(self.final)

    @cached_property
    def zero_filled_metrics(self) -> dict[str, dict[str, Any]] | None:
        """The same for the zero-filled volume."""
        return self._score(self.zero_filled)

    def _score(self, volume: NDArray[np.float32]) -> dict[str, dict[str, Any]] | None:
        if self.reference is None or not is_usable(self.reference):
            return None
        from recon import metrics

        return metrics.score(self.reference, volume)

    def module_outputs(self) -> dict[str, NDArray[np.float32]]:
        """Return the last iteration of each module, by module name, in order."""
        last: dict[str, NDArray[np.float32]] = {}
        for path, volume in zip(self.stage_paths, self.stages.values(), strict=True):
            last[str(path[0])] = volume
        return last

    def record(self) -> dict[str, Any]:
        """Return the record of this result: everything but the images, as plain values for JSON."""
        return {
            "name": self.name,
            "input": self.series.name,
            "series": self.series.title,
            "fingerprint": self.series.fingerprint,
            "slices": list(self.indices),
            "request": self.request.to_dict(),
            "parameters": dict(self.parameters),
            "parameter_origins": dict(self.parameter_origins),
            "sampling": {
                "effective_acceleration": self.mask.acceleration,
                "n_low_frequency": self.mask.n_low_frequency,
                "grid": self.grid,
            },
            "n_virtual_coils": self.n_virtual_coils,
            "device": self.device,
            "precision": self.precision,
            "simulated_kspace": self.is_simulated,
            "simulation": None if self.series.simulation is None else self.series.simulation.to_dict(),
            "versions": dict(self.versions),
            "weights_sha256": self.weights_sha256,
            "seconds": self.seconds,
            "warnings": list(self.warnings),
            "metrics": _finite(self.metrics),
            "zero_filled_metrics": _finite(self.zero_filled_metrics),
            "data_residual": list(self.residuals),
            "notice": "Research use only. Not for diagnosis.",
            "files": [],
        }

    def free_name(self, folder: Path) -> str:
        """Return ``STEM.MODEL``, numbered on where the files of another result have that name.

        The same recipe on the same data makes the same result, whose files may be replaced.
        """
        record, name, number = self.record(), self.name, 1
        endings = (*ENDINGS.values(), *map(movie_ending, MOVIES), ".json")
        while any((folder / f"{name}{ending}").exists() for ending in endings):
            if is_same(read_record(folder / f"{name}.json"), record):
                break
            number += 1
            name = f"{self.name}-{number}"
        return name

    def save(
        self,
        folder: Path | str,
        formats: Sequence[str] = ("hdf5",),
        *,
        stages: bool = False,
        name: str | None = None,
        slice_index: int | None = None,
        problems: list[Exception] | None = None,
    ) -> list[Path]:
        """Write the result and its record, which goes on to name the files that this result has there already.

        The phase, where there is one, stands in the HDF5 file too; DICOM and NIfTI have it as ``STEM.MODEL.phase…``.
        Movies are ``STEM.MODEL.iterations.gif`` and ``STEM.MODEL.slices.gif``, see `recon.export.movie`.

        Parameters
        ----------
        folder
            Made where it is not there.
        formats
            Any of `FORMATS`.
        stages
            Write the stages too, where the format can hold them.
        name
            Replaces ``STEM.MODEL``.
        slice_index
            Slice of the series that the figure and the iterations of a movie show, which their names say, counted from
            1, where there are others; None, and one that was not reconstructed, mean the middle one of those that were.
        problems
            Takes why formats could not be written; None raises it.

        Returns
        -------
        The paths that were written; the last one is the record. None where no format could be written.

        Raises
        ------
        RequestError
            If a format is unknown, or a movie was wanted and nothing moves.
        ExportError
            If something cannot be written; nothing is half-written. What is complete stays, and the record names it;
            a new file that the record cannot name, because the disk has no room for that, goes. All formats are tried
            before this is raised, unless the disk is full.
        MissingPackageError
            If the Python package that writes a format is not installed.
        """
        if not isinstance(folder, (str, os.PathLike)):
            raise RequestError(f"the folder is {folder!r}; give its path.")
        if not hasattr(formats, "__iter__") and formats is not None:
            raise RequestError(f"the formats are {formats!r}; give any of {', '.join(FORMATS)}.")
        formats = [formats] if isinstance(formats, str) else list(formats or ())
        unknown = [one for one in formats if one not in FORMATS]
        if unknown:
            raise RequestError(f"format {unknown[0]!r} is unknown; choose among {', '.join(FORMATS)}.")
        folder = Path(folder)
        name = name or self.name
        record = folder / f"{name}.json"
        earlier = [folder / one for one in files_of(record)] if is_same(read_record(record), self.record()) else []
        written: list[Path] = []
        failed: list[Exception] = []
        shown = slice_index if slice_index in self.indices else None
        for one in sorted(dict.fromkeys(formats), key="movie".__eq__):  # a movie takes the longest
            try:
                for ending, how in self._outputs(one, shown):
                    file = folder / f"{name}{ending}"
                    is_new = not file.exists()
                    self.write(file, one, stages=stages, **how)
                    try:  # at once: the disk may be full before the next one is complete
                        self._write_record(record, name, [*earlier, *written, file])
                    except ExportError:
                        if is_new:
                            _remove(file)
                        raise
                    written.append(file)
            except Exception as error:  # noqa: BLE001  one format must not cost the others
                failed.append(error)
                if is_full(error):
                    break
        if failed and problems is None:
            raise together(failed)
        if problems is not None:
            problems += failed
        if failed and not written:
            return []
        if not written:
            self._write_record(record, name, earlier)
        return [*written, record]

    def _outputs(self, format_: str, shown: int | None) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield what the name of each file of a format ends in, and how it is written, as `write` wants to know it."""
        # Pictures of several slices stand side by side, under the numbers that are written on them.
        of_slice = "" if shown is None or len(self.indices) == 1 else f".slice{shown + 1}"
        if format_ == "movie":
            from recon.export import movie

            for kind in movie.check(self):
                ending = movie_ending(kind)
                ending = f"{of_slice}{ending}" if kind == "iterations" else ending
                yield ending, {"kind": kind, "slice_index": shown}
        elif format_ == "png":
            yield f"{of_slice}{ENDINGS[format_]}", {"slice_index": shown}
        else:
            yield ENDINGS[format_], {}
            if self.phase is not None and format_ not in _WITHOUT_PHASE_FILE:
                yield f".phase{ENDINGS[format_]}", {"is_phase": True}

    def _write_record(self, path: Path, name: str, files: Sequence[Path]) -> None:
        """Write the record of those of these files that are there."""
        from recon.export.atomic import atomic_file

        names = list(dict.fromkeys(file.name for file in files if file.exists()))
        record = self.record() | {"name": name, "files": names}
        with atomic_file(path) as temporary:
            temporary.write_text(json.dumps(record, indent=2), "utf-8")

    def write(
        self,
        path: Path,
        format_: str,
        *,
        stages: bool = False,
        is_phase: bool = False,
        kind: str = "",
        slice_index: int | None = None,
    ) -> None:
        """Write the images, or with ``csv`` their scores, in one format.

        Parameters
        ----------
        path
            File, or folder of DICOM files.
        format_
            One of `FORMATS`.
        stages
            Write the stages too, where the format can hold them.
        is_phase
            Write the phase of the images in place of their magnitude; of DICOM and NIfTI.
        kind
            Of a movie, one of `MOVIES`; empty takes the first that the result is good for.
        slice_index
            Of a figure and of iterations, the slice of the series; None takes the middle one.

        Raises
        ------
        RequestError
            If it has no phase, nothing in it moves, or that slice was not reconstructed.
        ExportError
            If it cannot be written; nothing is half-written.
        MissingPackageError
            If the Python package that writes the format is not installed.
        """
        if is_phase and self.phase is None:
            raise RequestError(f"{self.name} has no phase to write; ask for it with Request(phase=True).")
        with needs_package():
            if format_ == "hdf5":
                from recon.export import hdf5

                hdf5.write(self, path, stages=stages)
            elif format_ in ("dicom", "dicom-anonymous"):
                from recon.export import dicom

                dicom.write(self, path, is_anonymous=format_ == "dicom-anonymous", is_phase=is_phase)
            elif format_ == "nifti":
                from recon.export import nifti

                nifti.write(self, path, is_phase=is_phase)
            elif format_ == "csv":
                from recon.export import scores

                scores.write(self, path)
            elif format_ == "movie":
                from recon.export import movie

                movie.write(self, path, kind, slice_index)
            else:
                from recon.export import figure

                figure.write(self, path, slice_index)


def movie_ending(kind: str) -> str:
    """Return what the name of a movie ends in."""
    return f".{kind}{ENDINGS['movie']}"


def is_usable(reference: NDArray[np.float32]) -> bool:
    """Return True where a reference is above zero somewhere: its maximum is the data range of all scores."""
    return float(reference.max()) > 0


def _remove(path: Path) -> None:
    """Delete a file, or a folder of DICOM files."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def files_of(record: Path) -> list[str]:
    """Return the names of the files beside a record that it lists; none where it is missing or damaged."""
    files = read_record(record).get("files")
    # A record is a file that somebody may have changed: it names what lies beside it, and nothing elsewhere.
    return [one for one in files if isinstance(one, str) and Path(one).name == one] if isinstance(files, list) else []


def read_record(file: Path) -> dict[str, Any]:
    """Return a stored record; an empty one where it is missing or damaged."""
    try:
        stored = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return stored if isinstance(stored, dict) else {}


def is_same(stored: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Tell whether a stored record is of the same recipe and data as another.

    A recipe is for any device, and it is the slices that were done that count, however they were asked for.
    """
    deciding = ("input", "fingerprint", "slices", "request", "weights_sha256")
    plain = json.loads(json.dumps({key: record[key] for key in deciding}))
    request = stored.get("request")
    if isinstance(request, dict):
        free = {name: plain["request"][name] for name in ("device", "slices")}
        stored = {**stored, "request": request | free}
    return all(stored.get(key) == value for key, value in plain.items())


def versions() -> dict[str, str]:
    """Return the versions that decide a result."""
    import torch

    return {
        "mri-workstation": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
    }


def _finite(scores: dict[str, dict[str, Any]] | None) -> dict[str, dict[str, Any]] | None:
    """JSON has no infinity and no NaN: perfect and undefined scores become null."""
    if scores is None:
        return None

    def plain(value: float) -> float | None:
        return float(value) if np.isfinite(value) else None

    return {
        metric: {"volume": plain(values["volume"]), "slices": [plain(value) for value in values["slices"]]}
        for metric, values in scores.items()
    }
