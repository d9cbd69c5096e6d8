"""Values as DICOM allows them: the gate through which everything passes on its way into an exported object.

What a source file, a header or a user says is cut to the length of its value representation, checked against the terms
of the standard, and dropped where it cannot be mended: an absent value is honest, a wrong one is not.
"""

from __future__ import annotations

import math
import re
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Parts of the body that exist once; DICOM forbids a side for them.
UNPAIRED = _words(
    """
    ABDOMEN ABDOMENPELVIS AORTA BLADDER BRAIN CEREBELLUM CERVIX CHEST CHESTABDOMEN CHESTABDPELVIS
    CIRCLEOFWILLIS COCCYX COLON CSPINE CTSPINE DUODENUM ESOPHAGUS GALLBLADDER HEAD HEADNECK HEART ILEUM JAW JEJUNUM
    LARYNX LIVER LSPINE LSSPINE MAXILLA MEDIASTINUM MOUTH NECK NECKCHEST NECKCHESTABDOMEN NECKCHESTABDPELV NOSE PANCREAS
    PELVIS PENIS PHARYNX PROSTATE RECTUM SCALP SKULL SPINE SPLEEN SSPINE STERNUM STOMACH THYMUS THYROID TLSPINE
    TONGUE TRACHEA TSPINE URETHRA UTERUS VAGINA VULVA WHOLEBODY
    """
)
# Parts that exist twice, so that a side is expected.
PAIRED = _words(
    """
    ADRENAL ANKLE ARM AXILLA BREAST BUTTOCK CALF CAROTID CLAVICLE ELBOW EXTREMITY EYE FINGER FOOT
    HAND HIP HUMERUS KIDNEY KNEE LEG LUNG OVARY PATELLA SCAPULA SHOULDER TESTIS THIGH THUMB TOE
    WRIST
    """
)

_TERMS: dict[str, frozenset[str]] = {
    name: _words(words)
    for name, words in {
        "AngioFlag": "Y N",
        "ImageLaterality": "R L U B",
        "InPlanePhaseEncodingDirection": "ROW COL",
        "Laterality": "R L",
        "MRAcquisitionType": "2D 3D",
        "PatientPosition": "HFP HFS HFDR HFDL FFP FFS FFDR FFDL",
        "PatientSex": "M F O",
        "ScanOptions": "PER RG CG PPG FC PFF PFP SP FS",
        "ScanningSequence": "SE IR GR EP RM",
        "SequenceVariant": "SK MTC SS TRSS SP MP OSP NONE",
        "VariableFlipAngleFlag": "Y N",
    }.items()
} | {"BodyPartExamined": UNPAIRED | PAIRED}

# DICOM counts letters and validators count bytes; counting bytes pleases both.
_MAX_BYTES = {"CS": 16, "SH": 16, "LO": 64, "PN": 64, "ST": 1024, "LT": 10240, "AE": 16}
_PATTERNS = {
    "AS": re.compile(r"\d{3}[DWMY]"),
    "CS": re.compile(r"[A-Z0-9 _]+"),
    "DA": re.compile(r"(1[89]|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"),
    "DT": re.compile(r"\d{4,14}(\.\d{1,6})?([+-]\d{4})?"),
    "TM": re.compile(r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?"),
    "UI": re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+"),
}
# Any fixed value: it makes the names of this program differ from everyone else's.
_NAMESPACE = uuid.UUID("6f2d0a3e-5b57-4b0e-9a3c-2f4f5f0c1d77")


def uid(*parts: str) -> str:
    """Return the UID that belongs to these words: the same words, the same UID, on every machine.

    Built from a UUID under the root 2.25, which needs no registration.
    """
    return f"2.25.{uuid.uuid5(_NAMESPACE, chr(31).join(parts)).int}"


def put(dataset: Dataset, keyword: str, value: Any) -> bool:
    """Set an attribute if the value is or can be made a legal one.

    Parameters
    ----------
    dataset
        Where it goes.
    keyword
        Name of a public attribute.
    value
        One value, or a list of them.

    Returns
    -------
    True when it was set.
    """
    legal = clean(keyword, value)
    if legal is None:
        return False
    setattr(dataset, keyword, legal)
    return True


def clean(keyword: str, value: Any) -> Any | None:
    """Return a legal value of an attribute, or None where nothing legal can be made of it.

    Parameters
    ----------
    keyword
        Name of a public attribute.
    value
        One value, a list of them, or None.
    """
    from pydicom.datadict import dictionary_VM, dictionary_VR
    from pydicom.multival import MultiValue

    vr, multiplicity = dictionary_VR(keyword), dictionary_VM(keyword)
    parts = list(value) if isinstance(value, (list, tuple, MultiValue)) else [value]
    legal = [part for part in (_one(keyword, vr, part) for part in parts) if part is not None]
    if not legal:
        return None
    least, most = _bounds(multiplicity)
    if vr in ("DS", "IS", "US", "FD") and len(legal) != len(parts):
        return None  # of several numbers each has its place: none may be dropped
    if len(legal) < least:
        return None
    legal = legal[:most] if most else legal
    return legal if len(legal) > 1 else legal[0]


def decimal(value: float) -> Any:
    """Return a number as a decimal string of at most 16 characters, as exactly as that allows."""
    from pydicom.valuerep import DSfloat

    # A negative zero is legal, but reads like a mistake.
    return DSfloat(float(value) + 0.0, auto_format=True)


def _one(keyword: str, vr: str, value: Any) -> Any | None:
    if value is None:
        return None
    if vr in ("DS", "IS", "US", "FD"):
        return _number(vr, value)
    letters = "".join(letter if letter.isprintable() else " " for letter in str(value)).replace("\\", " ").strip()
    if vr == "CS":
        letters = letters.upper()
    if vr == "TM":
        letters = letters.replace(":", "")
    if not letters:
        return None
    pattern = _PATTERNS.get(vr)
    if pattern is not None and not pattern.fullmatch(letters):
        return None
    if vr == "UI" and len(letters) > 64:
        return None
    if vr == "CS" and len(letters) > 16:
        return None  # a code that is cut is another code
    if keyword in _TERMS and letters not in _TERMS[keyword]:
        return None
    if vr == "PN":
        return _person(letters)
    return _cut(letters, _MAX_BYTES.get(vr, 100_000))


def _cut(letters: str, n_bytes: int) -> str:
    return letters.encode()[:n_bytes].decode(errors="ignore").strip()


def _person(name: str) -> str | None:
    """Name groups of up to 64 letters; a family name alone gets its caret, or it would be the retired form."""
    groups = [_cut(group.strip(), _MAX_BYTES["PN"] - 1) for group in name.split("=")[:3]]
    if not groups[0] and not any(groups[1:]):
        return None
    return "=".join(group if not group or "^" in group else f"{group}^" for group in groups)


def _number(vr: str, value: Any) -> Any | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    if not math.isfinite(number):
        return None
    if vr == "DS":
        return decimal(number)
    if vr == "FD":
        return number
    least, most = (0, 65535) if vr == "US" else (-(2**31), 2**31 - 1)
    return int(number) if least <= number <= most else None


def _bounds(multiplicity: str) -> tuple[int, int | None]:
    """Least and most values of a multiplicity such as ``1``, ``3``, ``1-n``, ``2-2n``."""
    first, _, last = multiplicity.partition("-")
    if not last:
        return int(first), int(first)
    return int(first), int(last) if last.isdigit() else None
