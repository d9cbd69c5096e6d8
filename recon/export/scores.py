"""Scores out: a table of one line a slice, and a last one for the volume, which any spreadsheet reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recon.export.table import write_csv

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from recon.result import Reconstruction

_METRICS = ("psnr", "ssim", "nmse")
_RESIDUAL = "data_residual"
COLUMNS = ("slice", *(f"{image}{name}" for image in ("", "zero_filled_") for name in (*_METRICS, _RESIDUAL)))


def write(result: Reconstruction, path: Path) -> Path:
    """Write PSNR, SSIM, NMSE and data residual of the result and of the zero-filled image as CSV.

    Slices are counted from 0, as in the record, from which all numbers are. Where it has none (no reference, no
    residual) a cell is empty. The data residual of the volume is the mean of its slices', as its SSIM is.

    Raises
    ------
    ExportError
        If the disk or folder does not let it be written.
    """
    record = result.record()
    write_csv(path, _rows(record), COLUMNS)
    return path


def _rows(record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    slices, residuals = record["slices"], record.get(_RESIDUAL) or []
    for place, index in enumerate(slices):
        residual = residuals[place] if place < len(residuals) else None
        yield _row(str(index), residual, record, lambda scores, place=place: scores["slices"][place])
    known = [residual for residual in residuals if residual is not None]
    mean = sum(known) / len(known) if known and len(known) == len(slices) else None
    yield _row("volume", mean, record, lambda scores: scores["volume"])


def _row(name: str, residual: float | None, record: Mapping[str, Any], of: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"slice": name, _RESIDUAL: residual}
    # The zero-filled image has every sample that was measured, and zeros where none was.
    row[f"zero_filled_{_RESIDUAL}"] = None if residual is None else 0.0
    for key, prefix in (("metrics", ""), ("zero_filled_metrics", "zero_filled_")):
        metrics = record.get(key)
        row |= {f"{prefix}{metric}": None if metrics is None else of(metrics[metric]) for metric in _METRICS}
    return row
