"""Values on their way into an exported object: made legal, or dropped."""

import pydicom
import pytest

from recon.export import dicom
from recon.export.dicom_values import clean, uid


@pytest.mark.parametrize(
    ("keyword", "value", "expected"),
    [
        ("PatientSex", "x", None),
        ("PatientSex", "m", "M"),
        ("StudyDate", "20201301", None),
        ("StudyDate", "20200229", "20200229"),
        ("StudyTime", "10:11:12", "101112"),
        ("StudyTime", "250000", None),
        ("StudyInstanceUID", "1.2.03", None),
        ("StudyInstanceUID", "1." + "2" * 70, None),
        ("SeriesDescription", "a" * 70, "a" * 64),
        ("SeriesDescription", "a\\b\nc", "a b c"),
        ("EchoTime", "abc", None),
        ("EchoTime", float("inf"), None),
        ("EchoTrainLength", 2**40, None),
        ("AcquisitionMatrix", [0, 256, 70000, 0], None),
        ("AcquisitionMatrix", [0, 256, 128], None),
        ("ScanOptions", ["FS", "EPI_GEMS"], "FS"),
        ("PatientName", "Smith", "Smith^"),
        ("PatientName", "", None),
        ("PatientComments", None, None),
    ],
)
def test_values_are_made_legal_or_dropped(keyword, value, expected):
    assert clean(keyword, value) == expected


def test_decimal_strings_fit(tmp_path):
    for number in (1 / 3, -1e-17, 123456789.123456789, -0.0, 5e-324, 1e300):
        assert len(str(dicom.decimal(number))) <= 16
        assert float(dicom.decimal(number)) == pytest.approx(number, rel=1e-8, abs=1e-300)


def test_uids_are_made_of_their_words():
    assert uid("a", "b") == uid("a", "b") != uid("ab")
    assert pydicom.uid.UID(uid("a")).is_valid
