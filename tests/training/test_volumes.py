"""Images to train on: whose they are, what is one volume, what cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recon.errors import FileError, RequestError
from training import subjects
from training.config import TrainingConfig
from training.data import open_data
from training.inspection import inspect
from training.volumes import FoundVolume, find_volumes, read_folder


def ball(n_slices=24, n_y=32, n_x=28, level=200.0):
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in (n_slices, n_y, n_x)), indexing="ij")
    return ((np.sqrt(z**2 + y**2 + x**2) < 0.8) * (1 + 0.3 * np.sin(9 * x)) * level).astype(np.float32)


def save_nifti(path, slices):
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(slices.transpose(2, 1, 0), np.eye(4)), path)


def save_picture(path, plane):
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(plane, 0, 255).astype(np.uint8)).save(path)


@pytest.mark.parametrize(
    ("name", "part", "subject"),
    [
        ("scan1.h5", None, "scan1"),
        ("scan1.nii.gz", None, "scan1"),
        ("anna/t1.nii", "", "anna"),
        ("train/scan1.h5", "train", "scan1"),
        ("val/anna/t1.nii", "validation", "anna"),
        ("multicoil_val/file7.h5", "validation", "file7"),
        ("singlecoil_train/file7.h5", "train", "file7"),
        ("multicoil_test/file7.h5", "test", "file7"),
        ("multicoil_train_batch_0/file7.h5", "train", "file7"),
        ("train_h5/file7.h5", "train", "file7"),
        ("valid/file7.h5", "validation", "file7"),
        ("val2/file7.h5", "validation", "file7"),
        ("Validierungsdaten/file7.h5", "validation", "file7"),
        ("fastmriTrainingData/file7.h5", "train", "file7"),
        ("testset/anna/t1.nii", "test", "anna"),
        ("knees/train/file7.h5", "train", "file7"),
        ("trained networks/file7.h5", "", "trained networks"),
        ("train_and_val/file7.h5", "", "train_and_val"),
        ("sub-03/ses-test/anat/sub-03_ses-test_T1w.nii.gz", "", "sub-03"),
        ("t1/sub-03_T1w.nii.gz", "", "sub-03"),
        ("sub-03/ses-1/anat/sub-03_ses-1_T1w.nii.gz", "", "sub-03"),
    ],
)
def test_places_say_whom_a_file_shows(name, part, subject):
    root = Path("/data")
    assert subjects.part_of(root / name, root) == part
    assert subjects.subject_of(root / name, root) == subject


def test_new_subjects_move_few_of_the_others():
    names = [f"patient{number}" for number in range(40)]
    before = subjects.draw(names, 0.25, 3)
    after = subjects.draw([*names, "new1", "new2"], 0.25, 3)
    assert len(before) == 10
    assert len(before & after) >= 9
    assert subjects.draw(names[::-1] * 2, 0.25, 3) == before


def test_pictures_of_one_name_are_the_slices_of_a_volume(tmp_path):
    one, two = ball(level=150)[8:16], ball(level=100)[8:12]
    for index, plane in enumerate(one):
        save_picture(tmp_path / f"anna_slice{index:02d}.png", plane)
    for index, plane in enumerate(two):
        save_picture(tmp_path / f"ben-{index}.png", plane)
    found = {entry.subject: entry for entry in find_volumes(tmp_path)}
    assert {name: entry.shape for name, entry in found.items()} == {"anna": (8, 32, 28), "ben": (4, 32, 28)}
    np.testing.assert_allclose(found["anna"].load(), np.floor(one), atol=1)
    training, validation, declined, _ = read_folder(tmp_path, 0.5, 0)
    assert {volume.voxels.shape[0] for volume in (*training, *validation)} == {8, 4}
    assert not declined


def test_what_cannot_be_used_is_named(tmp_path):
    save_nifti(tmp_path / "anna.nii.gz", ball())
    save_nifti(tmp_path / "ben.nii.gz", ball())
    save_nifti(tmp_path / "dark.nii", ball() * 0)
    (tmp_path / "torn.nii.gz").write_bytes(b"\x1f\x8b torn")
    (tmp_path / "raw.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    save_picture(tmp_path / "set" / "a1.png", ball()[12])
    save_picture(tmp_path / "set" / "a2.png", ball(n_y=40)[12])
    (tmp_path / "notes.txt").write_text("nothing")
    training, validation, declined, _ = read_folder(tmp_path, 0.5, 0)
    assert len(training) == len(validation) == 1
    reasons = {entry.path.name: entry.reason for entry in declined}
    assert set(reasons) == {"dark.nii", "torn.nii.gz", "raw.h5", "a1.png"}
    assert "empty" in reasons["dark.nii"]
    assert "`kspace`" in reasons["raw.h5"]
    assert "different sizes" in reasons["a1.png"]


def test_masks_and_segmentations_are_no_images(tmp_path):
    for name in ("anna", "ben"):
        save_nifti(tmp_path / name / "t1.nii.gz", ball())
    save_nifti(tmp_path / "anna" / "mask.nii.gz", (ball() > 0).astype(np.float32))
    np.save(tmp_path / "ben" / "tissues.npy", np.digitize(ball(), [1, 150, 200, 250]).astype(np.float32))
    said = {
        "mask.nii.gz": "has 2 grey values: a mask or a segmentation, not an image.",
        "tissues.npy": "has 5 grey values: a mask or a segmentation, not an image.",
    }
    for read in ("middle", "everything"):
        found = inspect(tmp_path, read=read)
        assert {entry.path.name: entry.reason for entry in found.unusable} == said
        assert [found.parts[side].n_volumes for side in ("train", "validation")] == [1, 1]
    for cache in (None, tmp_path / "cache"):
        training, validation, declined, _ = read_folder(tmp_path, 0.5, 0, cache)
        assert (len(training), len(validation)) == (1, 1)
        assert {entry.path.name: entry.reason for entry in declined} == said


def test_slices_along_three_axes_are_told_and_subjects_counted(tmp_path):
    for name in ("train/anna/one", "train/anna/two", "val/ben/one"):
        save_nifti(tmp_path / f"{name}.nii.gz", ball())
    save_nifti(tmp_path / "train" / "anna" / "thin.nii.gz", ball()[10:14])
    (note,) = inspect(tmp_path).notes
    assert note.startswith("3 volumes are about as deep as they are wide and give slices along all three axes: more")
    story = open_data(TrainingConfig(images=str(tmp_path))).story
    assert story["training"].pop("slices") > 2 * 24 + 4
    assert story["training"] == {"volumes": 3, "subjects": 1, "cut_along_three_axes": 2}
    assert story["validation"] == {"volumes": 1, "subjects": 1}
    for path in tmp_path.rglob("*.nii.gz"):
        save_nifti(path, ball()[10:14])
    assert not inspect(tmp_path).notes
    assert "cut_along_three_axes" not in open_data(TrainingConfig(images=str(tmp_path))).story["training"]


def test_a_colour_picture_is_named_and_no_slice_of_a_volume(tmp_path):
    from PIL import Image

    for name in ("anna", "ben"):
        save_nifti(tmp_path / f"{name}.nii.gz", ball())
    save_picture(tmp_path / "carl1.png", ball()[12])
    Image.new("RGB", (28, 32), (200, 30, 0)).save(tmp_path / "carl2.png")
    *_, (declined,), _ = read_folder(tmp_path, 0.5, 0)
    assert declined.path.name == "carl2.png" and "colour picture (RGB)" in declined.reason


def test_a_cache_holds_the_volumes_once(tmp_path):
    for name in ("anna", "ben"):
        save_nifti(tmp_path / "data" / f"{name}.nii.gz", ball())
    plain, *_ = read_folder(tmp_path / "data", 0.5, 0)
    first, *_ = read_folder(tmp_path / "data", 0.5, 0, tmp_path / "cache")
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.npy")}
    assert len(files) == 2
    second, *_ = read_folder(tmp_path / "data", 0.5, 0, tmp_path / "cache")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.npy")} == files
    for volumes in (first, second):
        assert isinstance(volumes[0].voxels, np.memmap)
        assert volumes[0].cuts == plain[0].cuts
        np.testing.assert_array_equal(volumes[0].cut(1, 16), plain[0].cut(1, 16))


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY\x01\x00\xff\xff{", b"nothing of the kind", "cut", "empty", "list"])
def test_a_damaged_volume_of_the_cache_is_made_anew(tmp_path, damage):
    for name in ("anna", "ben"):
        save_nifti(tmp_path / "data" / f"{name}.nii.gz", ball())
    training, validation, *_ = read_folder(tmp_path / "data", 0.5, 0, tmp_path / "cache")
    expected = [np.array(volume.voxels) for volume in (*training, *validation)]
    (path, _) = (tmp_path / "cache").rglob("*.npy")
    whole = path.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[:-50])
    elif damage == "empty":
        np.save(path, np.zeros((2, 3, 4), np.uint16))
    elif damage == "list":
        np.save(path, np.array([{}]), allow_pickle=True)
    else:
        path.write_bytes(damage)
    training, validation, *_ = read_folder(tmp_path / "data", 0.5, 0, tmp_path / "cache")
    assert path.read_bytes() == whole
    for volume, voxels in zip((*training, *validation), expected, strict=True):
        np.testing.assert_array_equal(volume.voxels, voxels)


def test_too_many_images_are_refused_before_memory_ends(tmp_path):
    for name in ("anna", "ben"):
        save_nifti(tmp_path / f"{name}.nii.gz", ball())
    with pytest.raises(RequestError, match="in memory; name a folder"):
        read_folder(tmp_path, 0.5, 0, limit_bytes=50_000)


def test_dicom_is_found_by_patient(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    for patient in ("anna", "ben"):
        for index in range(3):
            meta = FileMetaDataset()
            uid = f"1.2.826.0.1.3680043.9.{len(patient)}.{index + 1}"
            meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
            meta.MediaStorageSOPInstanceUID = uid
            meta.TransferSyntaxUID = ExplicitVRLittleEndian
            image = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
            image.SOPClassUID, image.SOPInstanceUID = meta.MediaStorageSOPClassUID, uid
            image.SeriesInstanceUID, image.StudyInstanceUID = f"1.2.3.{len(patient)}", f"1.2.4.{len(patient)}"
            image.Modality, image.PatientID = "MR", patient
            image.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
            image.Rows, image.Columns = 32, 28
            image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
            image.BitsAllocated = image.BitsStored = 16
            image.HighBit, image.PixelRepresentation = 15, 0
            image.PixelSpacing, image.SliceThickness = [1, 1], 1
            image.ImageOrientationPatient, image.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, index]
            image.InstanceNumber = index + 1
            image.PixelData = ball()[10 + index].astype(np.uint16).tobytes()
            pydicom.dcmwrite(tmp_path / f"{patient}{index}.dcm", image, enforce_file_format=True)
    found = list(find_volumes(tmp_path))
    assert all(isinstance(entry, FoundVolume) for entry in found)
    assert {entry.shape for entry in found} == {(3, 32, 28)}
    assert len({entry.subject for entry in found}) == 2
    training, validation, *_ = read_folder(tmp_path, 0.5, 0)
    assert len(training) == len(validation) == 1


def test_volumes_of_one_file_show_one_subject(tmp_path):
    """All of them train, or all of them validate."""
    import nibabel

    levels = (100, 150, 200)
    times = np.stack([ball(level=level).transpose(2, 1, 0) for level in levels], axis=-1)
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("anna", "ben"):
        nibabel.save(nibabel.Nifti1Image(times, np.eye(4)), folder / f"{name}.nii.gz")
    found = list(find_volumes(folder))
    assert [entry.subject for entry in found] == ["anna"] * 3 + ["ben"] * 3
    assert [entry.name for entry in found][:2] == ["anna.nii.gz (volume 1 of 3)", "anna.nii.gz (volume 2 of 3)"]
    assert [entry.load().max() for entry in found[:3]] == [ball(level=level).max() for level in levels]
    training, validation, declined, _ = read_folder(folder, 0.5, 0, tmp_path / "cache")
    assert not declined and len(training) == len(validation) == 3
    assert len({volume.name.split(".")[0] for volume in training}) == 1
    # A cache must not take one volume of a file for another.
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 6
    parts = inspect(folder, validation_share=0.5).parts
    assert [(part.n_volumes, part.n_subjects) for part in parts.values()] == [(3, 1), (3, 1)]


def test_samples_come_from_a_folder_of_images(tmp_path):
    for name in ("train/anna", "train/ben", "val/carl"):
        save_nifti(tmp_path / f"{name}.nii.gz", ball())
    config = TrainingConfig(images=str(tmp_path), sizes=(32,), n_coils=2, validation_slices=2, model="pcrnn-4x-1x")
    data = open_data(config)
    assert data.story["training"]["volumes"] == 2
    assert len(data.validation) == 2
    sample = data.training(0, 3)[2]
    assert sample["target"].shape == (32, 32)
    assert data.training(0, 3).describe(2).endswith(".nii.gz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match="holds no image"):
        open_data(TrainingConfig(images=str(tmp_path / "empty")))
