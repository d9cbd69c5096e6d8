"""Whose names the files of a result carry, in words for whoever is about to pass them on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from recon.data import Kind


def said_of_the_patient(kind: Kind | None, formats: Collection[str]) -> str:
    """Return what stands in outputs of the patient.

    Parameters
    ----------
    kind
        Kind of the series; None where there is no result.
    formats
        Those that are written.
    """
    if kind == "dicom" and "dicom" in formats:
        return "DICOM files keep the patient and the study of their source, names included."
    if kind == "dicom" and "dicom-anonymous" in formats:
        return (
            "Patient names are not written, and the images cannot be filed with the patient's study. File names and "
            "the title in the record beside them come from the source; the surface of a head can show a face."
        )
    return "Patient names are not written."
