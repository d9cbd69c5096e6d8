"""Finding what can be sent: in any folder, with damaged files and files of other kinds among them."""

import os

import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from recon import interruption
from recon.errors import FileError
from recon.export.pacs.instances import find


def test_series_of_several_folders_are_found_and_other_files_counted(write_instances, tmp_path):
    files = write_instances(tmp_path / "a.model.dcm", 2) + write_instances(
        tmp_path / "b.model.dcm", 1, ImplicitVRLittleEndian
    )
    (tmp_path / "a.model.json").write_text("{}")
    (tmp_path / "notes.dcm").write_text("no DICOM, whatever its name says")
    (tmp_path / ".hidden.dcm").write_bytes(files[0].read_bytes())
    found = find([tmp_path])
    assert [one.path for one in found.instances] == files
    assert (found.damaged, found.n_others) == ((), 2)
    for instance in found.instances:
        dataset = pydicom.dcmread(instance.path)
        assert instance.sop_class_uid == dataset.SOPClassUID
        assert instance.sop_instance_uid == dataset.SOPInstanceUID
        assert instance.transfer_syntax_uid == dataset.file_meta.TransferSyntaxUID
        assert instance.n_bytes == instance.path.stat().st_size
        assert instance.is_consistent


def test_a_file_that_several_paths_lead_to_counts_once(write_instances, tmp_path):
    files = write_instances(tmp_path / "a", 2)
    (tmp_path / "link.dcm").symlink_to(files[0])
    found = find([files[1], tmp_path / "a", tmp_path])
    assert [one.path for one in found.instances] == [files[1], files[0]]


@pytest.mark.parametrize(
    ("syntax", "n_bytes"),
    [
        *((ExplicitVRLittleEndian, n_bytes) for n_bytes in (-1, -300, -513, -520, 500, 300, 200)),
        (DeflatedExplicitVRLittleEndian, -20),
        (DeflatedExplicitVRLittleEndian, 200),
    ],
)
def test_a_file_that_is_cut_off_is_found_damaged(write_instances, tmp_path, syntax, n_bytes):
    files = write_instances(tmp_path, 2, syntax)
    files[0].write_bytes(files[0].read_bytes()[:n_bytes])
    found = find([tmp_path])
    assert [one.path for one in found.instances] == [files[1]]
    assert [error.path for error in found.damaged] == [files[0]]
    assert "again" in found.damaged[0].problem


def test_a_sequence_without_a_length_that_is_cut_off_is_found(write_instances, tmp_path):
    files = write_instances(tmp_path, 2)
    dataset = pydicom.dcmread(files[0])
    item = pydicom.Dataset()
    item.add_new("CodeMeaning", "LO", "a meaning of some length")
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"  # a report
    del dataset.PixelData
    dataset.ContentSequence = pydicom.Sequence([item])
    dataset["ContentSequence"].is_undefined_length = True
    dataset.save_as(files[0])
    assert len(find([tmp_path]).instances) == 2
    files[0].write_bytes(files[0].read_bytes()[:-12])
    found = find([tmp_path])
    assert [error.path for error in found.damaged] == [files[0]]
    assert "is a damaged DICOM file" in found.damaged[0].problem


def test_a_file_without_its_header_is_named(write_instances, tmp_path):
    files = write_instances(tmp_path, 2)
    content = files[0].read_bytes()
    files[0].write_bytes(content[132 + 12 + int.from_bytes(content[140:144], "little") :])
    found = find([tmp_path])
    assert "lacks the DICOM file header" in found.damaged[0].problem


def test_a_directory_of_files_is_no_instance(write_instances, tmp_path):
    files = write_instances(tmp_path, 2)
    dataset = pydicom.dcmread(files[0])
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    dataset.save_as(tmp_path / "DICOMDIR")
    found = find([tmp_path])
    assert len(found.instances) == 2
    assert found.n_others == 1


def test_a_file_that_may_not_be_read_is_named(write_instances, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    files = write_instances(tmp_path, 2)
    files[0].chmod(0)
    assert "ermission" in find([tmp_path]).damaged[0].problem


def test_nothing_to_send_names_the_folder_and_what_to_do(write_instances, tmp_path):
    with pytest.raises(FileError, match="no such file or folder"):
        find([tmp_path / "missing"])
    (tmp_path / "record.json").write_text("{}")
    with pytest.raises(FileError) as caught:
        find([tmp_path])
    assert str(tmp_path) in str(caught.value)
    assert "1 other file passed over" in str(caught.value)
    assert "--format dicom" in str(caught.value)
    for file in write_instances(tmp_path, 2):
        file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(FileError, match=r"no DICOM file that can be sent: .*cut off.* \(and 1 more\)"):
        find([tmp_path])


def test_looking_for_files_ends_when_somebody_asks(write_instances, tmp_path):
    files = write_instances(tmp_path, 5)
    seen = []
    with interruption.watching(lambda: len(seen) == 2), pytest.raises(interruption.Interrupted):
        find([tmp_path], seen.append)
    assert seen == files[:2]
