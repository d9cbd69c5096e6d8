"""Raw data as a fastMRI-style HDF5 file: k-space, its reference and an ISMRMRD header; `recon.io.fastmri` reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import numpy as np

from recon.export.atomic import atomic_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from recon.data import Header


def write(
    path: Path,
    shape: tuple[int, int, int, int],
    slices: Iterable[tuple[NDArray[np.complex64], NDArray[np.float32]]],
    header: Header,
    attributes: Mapping[str, Any],
) -> Path:
    """Write a fully sampled scan slice by slice, under a temporary name until it is whole.

    Parameters
    ----------
    path
        File to write.
    shape
        ``(slices, coils, y, x)``.
    slices
        K-space ``(coil, y, x)`` and reference ``(y, x)`` of each slice, taken one after another; what follows the
        last one is done before the file has its name.
    header
        What is known of the scan. Its matrices are those of the data, and ``extra`` is not written.
    attributes
        What else the file says of itself, such as how it was simulated.

    Raises
    ------
    ExportError
        If the file cannot be written.
    """
    import h5py

    with atomic_file(path) as temporary, h5py.File(temporary, "w") as file:
        kspace = file.create_dataset("kspace", shape, np.complex64)
        rss = file.create_dataset("reconstruction_rss", (shape[0], *shape[2:]), np.float32)
        for index, (samples, reference) in zip(range(shape[0]), slices, strict=True):
            kspace[index], rss[index] = samples, reference
        volume = rss[()]
        file["ismrmrd_header"] = header_xml(header, shape).encode()
        origin = {name: getattr(header, name) for name in ("acquisition", "patient_id", "source", "licence")}
        file.attrs.update({name: text for name, text in origin.items() if text is not None})
        file.attrs.update(max=float(volume.max()), norm=float(np.linalg.norm(volume)), sampling="FULL", **attributes)
    return path


def header_xml(header: Header, shape: tuple[int, int, int, int]) -> str:
    """Return the ISMRMRD header of a fully sampled Cartesian scan of this shape; what is not known is left out."""
    n_slices, n_coils, n_y, n_x = shape
    space = _element("matrixSize", x=n_y, y=n_x, z=1)
    if header.encoded_fov_mm is not None:
        space += _element("fieldOfView_mm", **dict(zip("xyz", header.encoded_fov_mm, strict=True)))
    limits = _element("kspace_encoding_step_1", minimum=0, maximum=n_x - 1, center=n_x // 2)
    limits += _element("slice", minimum=0, maximum=n_slices - 1, center=0)
    encoding = f"<encodedSpace>{space}</encodedSpace><reconSpace>{space}</reconSpace>"
    encoding += f"<encodingLimits>{limits}</encodingLimits>"
    encoding += _leaves(trajectory="cartesian", echoTrainLength=header.echo_train_length)
    content = _element(
        "measurementInformation", patientPosition=header.patient_position, protocolName=header.protocol
    ) + _element(
        "acquisitionSystemInformation",
        systemVendor=header.vendor,
        systemModel=header.scanner,
        systemFieldStrength_T=header.field_strength_t,
        receiverChannels=n_coils,
        institutionName=header.institution,
    )
    # The one element that every header must have; 0 stands for "not known".
    content += _element("experimentalConditions", H1resonanceFrequency_Hz=round(header.frequency_hz or 0))
    content += f"<encoding>{encoding}</encoding>"
    content += _element(
        "sequenceParameters",
        TR=header.repetition_time_ms,
        TE=header.echo_time_ms,
        TI=header.inversion_time_ms,
        flipAngle_deg=header.flip_angle_deg,
        sequence_type=header.sequence_type,
    )
    start = '<?xml version="1.0" encoding="utf-8"?>\n<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">'
    return f"{start}{content}</ismrmrdHeader>\n"


def _element(name: str, **leaves: str | float | None) -> str:
    """Return an element with those of its leaves that are known; nothing where none is."""
    inside = _leaves(**leaves)
    return f"<{name}>{inside}</{name}>" if inside else ""


def _leaves(**values: str | float | None) -> str:
    return "".join(f"<{name}>{_text(value)}</{name}>" for name, value in values.items() if value is not None)


def _text(value: str | float) -> str:
    return escape(str(value)) if isinstance(value, (str, int)) else f"{value:g}"
