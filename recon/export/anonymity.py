"""DICOM without the patient: what an exported object keeps of its source under PS3.15's confidentiality profile.

The basic profile, with two of its options. *Clean descriptors*: the descriptions are this program's own words, and free
text of the source goes. *Modified dates*: all dates of a patient move by one secret time, so that the intervals between
scans stay; the moment of the export goes, as it would tell how far the others moved. Names and UIDs become pseudonyms,
which are the same at every export of this user and mean nothing to anybody else. The pixels stay as they are: the
surface of a head can show a face.
"""

from __future__ import annotations

import fcntl
import hmac
import os
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from recon.errors import ExportError
from recon.export.atomic import describe
from recon.export.dicom_source import IMAGE, PATIENT_AND_STUDY, SERIES_AND_EQUIPMENT, code
from recon.export.dicom_values import uid
from recon.folders import user_data

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# What the scanner and the sequence were, and how the patient lay; everything else of the source goes.
_KEPT = frozenset({*IMAGE, "PatientPosition", "BodyPartExamined", "Manufacturer", "ManufacturerModelName"}) | {
    "SoftwareVersions"
}
_UIDS = ("StudyInstanceUID", "FrameOfReferenceUID")
# Empty under the profile, and present as every image needs them.
_EMPTIED = (
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PositionReferenceIndicator",
)
_MOMENTS_OF_SCAN, _MOMENTS_OF_EXPORT = ("Study", "Acquisition"), ("Series", "Content", "InstanceCreation")
_METHODS = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113105", "Clean Descriptors Option"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
)
# Dates go back by one to eleven years.
_LEAST_DAYS, _SPAN_DAYS = 365, 3650
_KEY_BYTES = 32


@dataclass(frozen=True)
class Pseudonyms:
    """Names and dates that stand for those of patients.

    Attributes
    ----------
    key
        Who has it can tell whose pseudonym one is.
    """

    key: bytes

    @classmethod
    def of_this_user(cls) -> Pseudonyms:
        """Return those of this user, whose key is made at the first use.

        Raises
        ------
        ExportError
            If the key cannot be read or written: without it a patient would get another name each time.
        """
        path = user_data() / "pseudonyms.key"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "rb+") as file:
                # Processes that export side by side use one key: whoever comes first makes it.
                fcntl.flock(file, fcntl.LOCK_EX)
                words = file.read().decode("ascii", "replace").strip()
                if not words:
                    words = secrets.token_hex(_KEY_BYTES)
                    file.write(words.encode())
                    file.flush()
        except OSError as error:
            raise describe(path, error) from error
        try:
            key = bytes.fromhex(words)
        except ValueError:
            key = b""
        if len(key) < _KEY_BYTES:
            raise ExportError(
                f"{path}: this is no key of pseudonyms ({2 * _KEY_BYTES} hexadecimal digits were expected), and "
                "anonymous exports take their names from it. Bring it back, or remove it: patients get new names then."
            )
        return cls(key)

    def uid(self, original: str) -> str:
        """Return the UID that stands for another."""
        return uid(self._digest("uid", original).hex())

    def apply(self, dataset: Dataset) -> None:
        """Take the patient out of an object that has everything else, and when it was exported.

        Parameters
        ----------
        dataset
            Changed in place.
        """
        identity = f"{dataset.get('IssuerOfPatientID', '')}\n{dataset.PatientID}"
        replaced = {keyword: self.uid(str(dataset[keyword].value)) for keyword in _UIDS}
        for keyword in (*PATIENT_AND_STUDY, *SERIES_AND_EQUIPMENT):
            if keyword not in _KEPT and not keyword.startswith("Study"):
                dataset.pop(keyword, None)
        for keyword in ("StudyDescription", "SourceImageSequence", "DeidentificationMethod"):
            dataset.pop(keyword, None)
        for keyword, value in replaced.items():
            setattr(dataset, keyword, value)
        for keyword in _EMPTIED:
            setattr(dataset, keyword, None)
        pseudonym = self._digest("patient", identity).hex()[:16]
        dataset.PatientID, dataset.PatientName = pseudonym, f"ANON^{pseudonym[:8].upper()}"
        dataset.StudyID = self.uid(replaced["StudyInstanceUID"])[-8:]
        self._move_dates(dataset, identity)
        dataset.PatientIdentityRemoved = "YES"
        dataset.DeidentificationMethodCodeSequence = [code(value, "DCM", meaning) for value, meaning in _METHODS]
        dataset.LongitudinalTemporalInformationModified = "MODIFIED"

    def _move_dates(self, dataset: Dataset, identity: str) -> None:
        digest = self._digest("dates", identity)
        days = _LEAST_DAYS + int.from_bytes(digest[:4], "big") % _SPAN_DAYS
        back = timedelta(days=days, seconds=int.from_bytes(digest[4:8], "big") % 86400)
        for name in _MOMENTS_OF_SCAN:
            moved = _moved(str(dataset.get(f"{name}Date") or ""), str(dataset.get(f"{name}Time") or ""), back)
            for keyword, value in zip((f"{name}Date", f"{name}Time"), moved, strict=True):
                if value:
                    setattr(dataset, keyword, value)
                elif name == "Study":
                    setattr(dataset, keyword, None)  # must be there
                else:
                    dataset.pop(keyword, None)
        # Who gets the files knows about when that was: told a moved moment of it, also by how much all dates moved.
        for name in _MOMENTS_OF_EXPORT:
            dataset.pop(f"{name}Date", None)
            dataset.pop(f"{name}Time", None)
        for item in dataset.get("ContributingEquipmentSequence", ()):
            item.pop("ContributionDateTime", None)

    def _digest(self, *words: str) -> bytes:
        return hmac.digest(self.key, "\x1f".join(words).encode("utf-8", "surrogateescape"), "sha256")


def _moved(date: str, time: str, back: timedelta) -> tuple[str, str]:
    """Return a date and a time, as DICOM writes them, earlier by a while; empty where they are none."""
    clock = time.split(".")[0].ljust(6, "0")[:6]
    try:
        moment = datetime.strptime(date + clock, "%Y%m%d%H%M%S") - back
    except (ValueError, OverflowError):
        return "", ""
    return f"{moment:%Y%m%d}", f"{moment:%H%M%S}" if time else ""
