"""HDF5 out: `reconstruction` as fastMRI's predictions have it, with how it was made as attributes."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from recon.errors import needs_package
from recon.export.atomic import atomic_file
from recon.export.stored import describe_origin

if TYPE_CHECKING:
    from pathlib import Path

    from recon.result import Reconstruction

NOTICE = "Research use only. Not for diagnosis."


@needs_package()
def write(result: Reconstruction, path: Path, stages: bool = False) -> Path:
    """Write a result as one HDF5 file.

    ``reconstruction`` is float32 ``(slices, y, x)`` in the row order of the input, and ``phase``, where it was wanted,
    the same in radians. Attributes of the file say how it was made, and the texts ``record`` and ``origin`` hold all
    that `recon.export.stored` needs to write it in another format later. With stages, ``stages/<order>_<name>`` holds
    every kept stage from the zero-filled image on, and its attribute ``title`` what a person calls it.

    Parameters
    ----------
    result
        What came out of a reconstruction.
    path
        File to write.
    stages
        Write the stages too.

    Raises
    ------
    ExportError
        If the disk or the folder does not let it be written; an older file stays as it was.
    MissingPackageError
        If h5py is not installed.
    """
    import h5py

    with atomic_file(path) as temporary, h5py.File(temporary, "w") as file:
        file.create_dataset("reconstruction", data=np.asarray(result.final, np.float32))
        if result.phase is not None:
            file.create_dataset("phase", data=np.asarray(result.phase, np.float32)).attrs["unit"] = "rad"
        file.create_dataset("mask", data=result.mask.mask)
        # Datasets, for an attribute cannot hold more than 64 kB.
        file.create_dataset("record", data=json.dumps(result.record()))
        file.create_dataset("origin", data=json.dumps(describe_origin(result.series), default=float))
        file.attrs.update(_attributes(result))
        if stages:
            _write_stages(file.create_group("stages"), result)
    return path


def _write_stages(group: Any, result: Reconstruction) -> None:
    zero_filled: tuple[str | int, ...] = ("zero-filled",)
    volumes = [("zero-filled", zero_filled, result.zero_filled)]
    volumes += [
        (title, path, volume)
        for (title, volume), path in zip(result.stages.items(), result.stage_paths, strict=True)
        if path != zero_filled
    ]
    digits = max(2, len(str(len(volumes) - 1)))
    for order, (title, path, volume) in enumerate(volumes):
        # A slash in a name would make groups of it.
        name = re.sub(r"[^\w.+-]+", "-", "_".join(str(part) for part in path))
        dataset = group.create_dataset(f"{order:0{digits}d}_{name}", data=np.asarray(volume, np.float32))
        dataset.attrs["title"] = title
        dataset.attrs["path"] = json.dumps(path)


def _attributes(result: Reconstruction) -> dict[str, Any]:
    record, series, request = result.record(), result.series, result.request
    simulation = series.simulation
    attributes = {
        "model": request.model,
        "mask": "acquired by the scanner" if series.acquired_mask is not None else request.mask.kind,
        "acceleration": float(result.mask.acceleration),
        "slices": np.asarray(result.indices, np.int64),
        "input": series.name,
        "series": series.title,
        "acquisition": series.header.acquisition,
        "request": json.dumps(record["request"]),
        "parameters": json.dumps(record["parameters"]) if record.get("parameters") else None,
        "parameter_origins": json.dumps(record["parameter_origins"]) if record.get("parameter_origins") else None,
        "versions": json.dumps(record["versions"]),
        "metrics": None if record["metrics"] is None else json.dumps(record["metrics"]),
        "weights_sha256": result.weights_sha256,
        "seconds": float(result.seconds),
        "warnings": "\n".join(result.warnings) or None,
        "simulated": "no" if simulation is None else f"yes: {simulation.sentence}",
        "flip_rows": series.geometry.flip_rows,
        "pixel_spacing_mm": np.asarray(series.geometry.pixel_spacing_mm, np.float64),
        "notice": NOTICE,
    }
    return {name: value for name, value in attributes.items() if value is not None}
