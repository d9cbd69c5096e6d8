"""The ISMRMRD XML header of a raw-data file: what the scanner said, without what would identify the patient.

Headers come from strangers: document types and entities are refused, sizes are bounded, and whatever is missing or
makes no sense (a field of view of 0 mm) is None instead of an error.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from recon.data import Header

if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree.ElementTree import Element

MAX_HEADER_BYTES = 8 * 2**20
_MAX_EXTRA = 200
_MAX_TEXT = 200

# Names, numbers and times that lead back to a person, a visit or a machine. They are not read at all, so that no
# export can copy them by accident.
_PRIVATE = {
    "subjectInformation", "studyInformation", "measurementID", "seriesDate", "seriesTime", "frameOfReferenceUID",
    "seriesInstanceUIDRoot", "measurementDependency", "referencedImageSequence", "stationName", "deviceID",
    "deviceSerialNumber",
}  # fmt: skip
# Leaves that have a field of their own in Header.
_KNOWN = {
    "measurementInformation.patientPosition", "measurementInformation.protocolName",
    "acquisitionSystemInformation.systemVendor", "acquisitionSystemInformation.systemModel",
    "acquisitionSystemInformation.systemFieldStrength_T", "acquisitionSystemInformation.institutionName",
    "experimentalConditions.H1resonanceFrequency_Hz", "sequenceParameters.TR", "sequenceParameters.TE",
    "sequenceParameters.TI", "sequenceParameters.flipAngle_deg", "sequenceParameters.sequence_type",
    "encoding.echoTrainLength",
}  # fmt: skip


@dataclass(frozen=True)
class ParsedHeader:
    """What an XML header holds.

    Attributes
    ----------
    header
        The fields that have a meaning here.
    phase_encode_limits
        ``(centre, maximum)`` of the first phase-encode step; None where the header does not say.
    partition_limits
        The same of the second phase-encode step.
    trajectory
        Such as ``cartesian`` or ``radial``, in small letters; None where the header does not say.
    """

    header: Header
    phase_encode_limits: tuple[int, int] | None = None
    partition_limits: tuple[int, int] | None = None
    trajectory: str | None = None


def _decode(xml: bytes) -> str:
    try:
        return xml.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Vendors' converters write names of places as Windows does, whatever the document declares; all bytes pass.
        return xml.decode("latin-1")


def parse(xml: bytes | str, encoding: int = 0, contrast: int = 0) -> ParsedHeader:
    """Read an ISMRMRD XML header.

    Parameters
    ----------
    xml
        The document. Namespaces are ignored, missing nodes are allowed.
    encoding
        Which of several encodings is meant.
    contrast
        Which of several echoes is meant.

    Raises
    ------
    ValueError
        If it is not XML, is larger than a header can be, or declares a document type or entities.
    """
    if len(xml) > MAX_HEADER_BYTES:
        raise ValueError(f"it is {len(xml) / 2**20:.0f} MiB long")
    text = _decode(xml) if isinstance(xml, bytes) else xml
    text = text.strip("\0 \r\n\t")
    # Entities can blow up to gigabytes or read other files; no ISMRMRD header needs a document type.
    if re.search(r"<!\s*(DOCTYPE|ENTITY)", text, re.IGNORECASE):
        raise ValueError("it declares a document type or entities, which are refused")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"it is not well-formed XML: {error}") from None
    encodings = [child for child in root if _tag(child) == "encoding"]
    # The other encodings, and what they hold, are none of this header's.
    for number, child in enumerate(encodings):
        if number != encoding:
            root.remove(child)
    trajectory = _text(_find(root, "encoding/trajectory"))
    return ParsedHeader(
        _header(root, contrast),
        _limits(root, "kspace_encoding_step_1"),
        _limits(root, "kspace_encoding_step_2"),
        trajectory.lower() if trajectory else None,
    )


def padding(parsed: ParsedHeader, columns: int) -> tuple[int, int] | None:
    """Return the first and one-past-last acquired column that the header's encoding limits stand for.

    ``left = encoded_y // 2 - centre`` and ``right = left + maximum + 1``, as fastMRI computes them; None where the
    header does not say, or says what does not fit the width.
    """
    encoded, limits = parsed.header.encoded_matrix, parsed.phase_encode_limits
    if encoded is None or limits is None or encoded[1] != columns:
        return None
    centre, maximum = limits
    left = encoded[1] // 2 - centre
    right = left + maximum + 1
    return (left, right) if 0 <= left < right <= columns else None


def _header(root: Element, contrast: int) -> Header:
    def text(path: str) -> str | None:
        return _text(_find(root, path))

    def number(path: str) -> float | None:
        value = _number(_find(root, path))
        return value if value else None  # scanners and converters write 0 for "not known"

    echo_train = number("encoding/echoTrainLength")
    echoes = [child for part in root if _tag(part) == "sequenceParameters" for child in part if _tag(child) == "TE"]
    # A list has a time for each contrast; a single time is that of all.
    echo = echoes[contrast] if contrast < len(echoes) else echoes[0] if len(echoes) == 1 else None
    return Header(
        protocol=text("measurementInformation/protocolName"),
        sequence_type=text("sequenceParameters/sequence_type"),
        vendor=_known(text("acquisitionSystemInformation/systemVendor")),
        scanner=_known(text("acquisitionSystemInformation/systemModel")),
        institution=text("acquisitionSystemInformation/institutionName"),
        field_strength_t=number("acquisitionSystemInformation/systemFieldStrength_T"),
        frequency_hz=number("experimentalConditions/H1resonanceFrequency_Hz"),
        repetition_time_ms=number("sequenceParameters/TR"),
        echo_time_ms=_number(echo) or None,
        inversion_time_ms=number("sequenceParameters/TI"),
        flip_angle_deg=number("sequenceParameters/flipAngle_deg"),
        echo_train_length=int(echo_train) if echo_train else None,
        patient_position=text("measurementInformation/patientPosition"),
        encoded_matrix=_matrix(_find(root, "encoding/encodedSpace/matrixSize")),
        recon_matrix=_matrix(_find(root, "encoding/reconSpace/matrixSize")),
        encoded_fov_mm=_field_of_view(_find(root, "encoding/encodedSpace/fieldOfView_mm")),
        recon_fov_mm=_field_of_view(_find(root, "encoding/reconSpace/fieldOfView_mm")),
        extra=_extra(root),
    )


def _limits(root: Element, name: str) -> tuple[int, int] | None:
    step = _find(root, f"encoding/encodingLimits/{name}")
    centre, maximum = (None if step is None else _number(_find(step, name)) for name in ("center", "maximum"))
    return None if centre is None or maximum is None else (int(centre), int(maximum))


def _tag(element: Element) -> str:
    return element.tag.rsplit("}", 1)[-1]


def _find(element: Element, path: str) -> Element | None:
    """First descendant along a path of local names, whatever the namespace."""
    found: Element | None = element
    for name in path.split("/"):
        found = next((child for child in found if _tag(child) == name), None) if found is not None else None
    return found


def _text(element: Element | None) -> str | None:
    if element is None or not element.text:
        return None
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in element.text).split())
    return text[:_MAX_TEXT] or None


def _known(text: str | None) -> str | None:
    return None if text is None or text.lower() in ("unknown", "none", "n/a") else text


def _number(element: Element | None) -> float | None:
    text = _text(element)
    try:
        value = float(text) if text else math.nan
    except ValueError:
        return None
    return value if 0 <= value < 1e12 else None


def _matrix(element: Element | None) -> tuple[int, int, int] | None:
    if element is None:
        return None
    x, y, z = (_number(_find(element, axis)) for axis in "xyz")
    if not x or not y or min(x, y) < 1:
        return None
    return int(x), int(y), max(int(z or 1), 1)


def _field_of_view(element: Element | None) -> tuple[float, float, float] | None:
    if element is None:
        return None
    x, y, z = (_number(_find(element, axis)) for axis in "xyz")
    return (x, y, z or 0.0) if x and y else None


def _extra(root: Element) -> dict[str, str]:
    """Everything that has no field of its own and identifies nobody, as text, in the order of the file."""
    extra: dict[str, str] = {}
    for name, text in _leaves(root, ""):
        if name in _KNOWN or name in extra:
            continue
        if len(extra) >= _MAX_EXTRA:
            break
        extra[name] = text
    coils = [_text(_find(label, "coilName")) for label in root.iter() if _tag(label) == "coilLabel"]
    names = ", ".join(name for name in coils if name)
    if names:
        extra["acquisitionSystemInformation.coilLabel"] = names[:_MAX_TEXT]
    return extra


def _leaves(element: Element, prefix: str) -> Iterator[tuple[str, str]]:
    # An explicit stack, because nesting in a stranger's file has no limit.
    stack = [(child, prefix) for child in reversed(element)]
    while stack:
        node, before = stack.pop()
        name = _tag(node)
        if name in _PRIVATE or name in ("coilLabel", "matrixSize", "fieldOfView_mm"):
            continue
        path = f"{before}.{name}" if before else name
        if name.startswith("userParameter") and name != "userParameters":
            key, value = _text(_find(node, "name")), _text(_find(node, "value"))
            if key and value:
                yield f"user.{key}", value
            continue
        if len(path) > _MAX_TEXT:
            continue
        text = None if len(node) else _text(node)
        if text:
            yield path, text
        stack.extend((child, path) for child in reversed(node))
