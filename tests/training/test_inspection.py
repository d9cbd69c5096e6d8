"""What the check of a data folder says: what is in it, what is unusable and why, before anyone trains."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

import recon
from app import cli
from recon import phantom
from recon.errors import FileError
from recon.io import cfl
from training.config import TrainingConfig
from training.data import open_data
from training.inspection import inspect


def write_scan(path, n_slices=2, n_coils=3, matrix=(40, 32), patient=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    phantom.write(path, phantom.PhantomSpec(n_slices=n_slices, n_coils=n_coils, matrix=matrix))
    with h5py.File(path, "r+") as file:
        file.attrs["patient_id"] = patient or path.stem
    return path


@pytest.fixture
def folder(tmp_path):
    """Four scans of three patients, one damaged, one undersampled, one that is none."""
    write_scan(tmp_path / "a.h5", patient="anna")
    write_scan(tmp_path / "b.h5", 3, 5, patient="anna")
    write_scan(tmp_path / "c.h5", matrix=(48, 32), patient="ben")
    with h5py.File(write_scan(tmp_path / "nan.h5", patient="carl"), "r+") as file:
        file["kspace"][1] = np.nan
    with h5py.File(write_scan(tmp_path / "test.h5"), "r+") as file:
        mask = np.arange(32) % 4 == 0
        mask[14:18] = True
        file["mask"] = mask.astype(np.float32)
        file["kspace"][:] = file["kspace"][:] * mask
    (tmp_path / "none.h5").write_bytes(b"\x89HDF\r\n\x1a\n no more")
    (tmp_path / "read-me.txt").write_text("a note is no scan")
    return tmp_path


def test_a_folder_of_scans(folder):
    shares = []
    found = inspect(folder, validation_share=0.5, progress=shares.append)
    assert found.is_usable and found.key == "kspace"
    train, validation = found.parts["train"], found.parts["validation"]
    assert train.n_volumes + validation.n_volumes == 3
    assert train.n_subjects + validation.n_subjects == 2
    assert train.n_slices + validation.n_slices == 7
    assert {**train.coils, **validation.coils}.keys() == {"3", "5"}
    assert {**train.sizes, **validation.sizes} == {"40 × 32": 2, "48 × 32": 1}
    assert train.sequences.keys() == {"AXT2"}
    reasons = {entry.path.name: entry.reason for entry in found.unusable}
    assert set(reasons) == {"nan.h5", "test.h5", "none.h5"}
    assert "NaN" in reasons["nan.h5"]
    assert "undersampled" in reasons["test.h5"]
    assert shares == sorted(shares) and shares[-1] == 1
    # It promises what a training then gets: the same subjects on the same side, before anything is read.
    story = open_data(TrainingConfig(kspace=str(folder), validation_share=0.5)).story
    promised = inspect(folder, read="nothing", validation_share=0.5).parts
    for side in ("training", "validation"):
        part = promised["train" if side == "training" else side]
        assert (part.n_volumes, part.n_subjects) == (story[side]["volumes"], story[side]["subjects"])
        assert found.parts["train" if side == "training" else side].n_volumes <= part.n_volumes


@pytest.mark.parametrize(
    ("where", "value", "reason"), [((0,), 0, "all zero"), ((0, 0, 3, 3), 1e37, "so large that its image overflows")]
)
def test_reading_everything_finds_what_the_middle_hides(tmp_path, where, value, reason):
    for name in "ab":
        write_scan(tmp_path / f"{name}.h5", 3)
    with h5py.File(tmp_path / "b.h5", "r+") as file:
        file["kspace"][where] = value
    assert len(inspect(tmp_path).unusable) == 0
    (entry,) = inspect(tmp_path, read="everything").unusable
    assert entry.path.name == "b.h5" and reason in entry.reason


@pytest.mark.parametrize(("side", "verb"), [("train", "trains"), ("val", "validates")])
def test_a_side_of_which_nothing_can_be_read_is_a_problem(tmp_path, side, verb):
    """A training would find it out after its first epoch."""
    for name in ("train/a", "train/b", "val/c", "val/d"):
        write_scan(tmp_path / f"{name}.h5", 3)
    damaged = sorted((tmp_path / side).iterdir())
    for path in damaged:
        with h5py.File(path, "r+") as file:
            file["kspace"][:] = 0
    problem = f"nothing in it that {verb} can be read ({damaged[0].name}: slice 0 (counted from 0) has k-space that is"
    found = inspect(tmp_path)
    assert not found.is_usable and problem in found.problem
    with pytest.raises(FileError, match=f"nothing in it that {verb} can be read"):
        open_data(TrainingConfig(kspace=str(tmp_path)))
    assert cli.main(["train", "--check", str(tmp_path), "--quiet"]) == 2
    # Slices beside a damaged one train and validate.
    with h5py.File(damaged[0], "r+") as file:
        file["kspace"][0] = file["kspace"][2] = 1
    assert inspect(tmp_path).is_usable
    assert open_data(TrainingConfig(kspace=str(tmp_path))).story["training"]["volumes"] == 2


def test_it_can_be_cancelled(folder):
    def stop(share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        inspect(folder, progress=stop)


def test_sub_folders_say_what_validates(tmp_path):
    write_scan(tmp_path / "multicoil_train" / "a.h5", patient="anna")
    write_scan(tmp_path / "multicoil_train" / "b.h5", patient="ben")
    write_scan(tmp_path / "multicoil_val" / "c.h5", patient="anna")
    write_scan(tmp_path / "multicoil_test" / "d.h5", patient="dora")
    found = inspect(tmp_path)
    assert [found.parts[name].n_volumes for name in ("train", "validation")] == [1, 1]
    assert any("1 training volume shows a subject who validates, and will" in note for note in found.notes)
    test = "1 volume lies in folders for testing, and is not used."
    assert test in found.notes and test in open_data(TrainingConfig(kspace=str(tmp_path))).note
    write_scan(tmp_path / "others" / "e.h5", patient="emil")
    assert any(
        "1 volume lies in other sub-folders than train and val, and is not" in n for n in inspect(tmp_path).notes
    )


def test_folders_for_testing_never_train(tmp_path):
    for number, name in enumerate(("train/a", "train/b", "testing/c", "testing/d")):
        write_scan(tmp_path / f"{name}.h5", patient=f"patient{number}")
    found = inspect(tmp_path)
    assert {**found.parts["train"].sequences, **found.parts["validation"].sequences} == {"AXT2": 1}
    assert "2 volumes lie in folders for testing, and are not used." in found.notes
    assert found.notes[-1] in (f"Split by subject: 10% validate, drawn with seed 0: patient{n}." for n in (0, 1))
    data = open_data(TrainingConfig(kspace=str(tmp_path)))
    assert data.story["training"]["volumes"] == data.story["validation"]["volumes"] == 1
    for name in "ab":
        (tmp_path / "train" / f"{name}.h5").unlink()
    assert "lies in folders for testing, which never train" in inspect(tmp_path).problem
    assert inspect(tmp_path / "testing").is_usable


@pytest.mark.parametrize(
    ("others", "problem"),
    [("train", "a folder for training, none for validation, and 2 vol"), ("val", "for validation and none for train")],
)
def test_folders_of_which_some_say_what_they_are_for_are_refused(tmp_path, others, problem):
    """They would be drawn as if no name said anything, and what validates might train."""
    for name in (f"{others}/a", f"{others}/b", "elsewhere/c", "d"):
        write_scan(tmp_path / f"{name}.h5")
    assert problem in inspect(tmp_path).problem
    with pytest.raises(FileError, match=problem):
        open_data(TrainingConfig(kspace=str(tmp_path)))


def test_images_and_mixed_folders(tmp_path):
    plane = np.zeros((4, 40, 32))
    plane[:, 8:30, 6:26] = 100 + np.arange(20)
    for name in ("anna", "ben"):
        np.save(tmp_path / f"{name}.npy", plane)
    found = inspect(tmp_path)
    assert found.key == "images" and found.is_usable
    assert found.parts["train"].sizes == {"40 × 32": 1}
    assert found.parts["train"].sequences == {"NPY": 1}
    write_scan(tmp_path / "c.h5")
    write_scan(tmp_path / "d.h5")
    mixed = inspect(tmp_path)
    assert mixed.key == "kspace" and mixed.is_usable
    assert "mixed: 2 files of raw data and 2 image files" in mixed.notes[0]
    assert not mixed.unusable
    # A training says it too, in the same words; on its images it names the raw data file by file.
    assert open_data(TrainingConfig(kspace=str(tmp_path))).note.startswith(mixed.notes[0])
    on_images = open_data(TrainingConfig(images=str(tmp_path)))
    assert {entry.path.name for entry in on_images.declined} == {"c.h5", "d.h5"}
    for name in ("anna", "ben"):
        (tmp_path / f"{name}.npy").unlink()
    assert "mixed" not in open_data(TrainingConfig(kspace=str(tmp_path))).note


def test_kspace_in_arrays_is_raw_data(tmp_path):
    """As in the training itself: complex values are no images, whatever file they lie in."""
    write_scan(tmp_path / "scan.h5")
    with h5py.File(tmp_path / "scan.h5") as file:
        kspace = file["kspace"][:]
    (tmp_path / "scan.h5").unlink()
    np.save(tmp_path / "a.npy", kspace)
    cfl.write(tmp_path / "b.cfl", kspace[0].transpose(1, 2, 0)[:, :, None])
    found = inspect(tmp_path, validation_share=0.5)
    assert found.key == "kspace" and found.is_usable and not found.unusable
    assert sum(part.n_volumes for part in found.parts.values()) == 2
    assert not any("mixed" in note for note in found.notes)
    assert "mixed" not in open_data(TrainingConfig(kspace=str(tmp_path))).note
    with pytest.raises(FileError, match="holds complex values, as raw data does"):
        open_data(TrainingConfig(images=str(tmp_path)))
    maps = np.ones((40, 32, 1, 3), np.complex64)
    cfl.write(tmp_path / "maps.cfl", maps)
    assert inspect(tmp_path, validation_share=0.5) == found
    for path in (*tmp_path.glob("a*"), *tmp_path.glob("b*")):
        path.unlink()
    assert inspect(tmp_path).problem.startswith("nothing in the folder can train (maps.cfl is a BART array, but no")


def test_results_beside_images_do_not_train(tmp_path):
    """`reconstruct` writes into a folder of the present one: its results must not become what a network aims at."""
    plane = np.zeros((4, 40, 32))
    plane[:, 8:30, 6:26] = 100 + np.arange(20)
    for name in ("anna", "ben"):
        np.save(tmp_path / f"{name}.npy", plane)
    before = inspect(tmp_path)
    series = recon.open_study(tmp_path / "anna.npy").series[0]
    files = recon.run(series, recon.Request(model="zero-filled")).save(
        tmp_path / "reconstructions", ["hdf5", "nifti", "dicom"]
    )
    assert len(files) >= 3
    found = inspect(tmp_path)
    assert found.key == "images" and found.parts == before.parts and found.notes == before.notes
    reasons = [entry.reason for entry in found.unusable]
    assert len(reasons) == 3 and all("is a result that this program exported" in reason for reason in reasons)
    assert [entry.reason for entry in open_data(TrainingConfig(images=str(tmp_path))).declined] == reasons


def test_files_of_volumes(tmp_path):
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in (20, 40, 32)), indexing="ij")
    with h5py.File(tmp_path / "heads.h5", "w") as file:
        for name in ("train/a", "train/b", "validation/c"):
            file[name] = ((z**2 + y**2 + x**2 < 0.6) * 100).astype(np.uint8)
    found = inspect(tmp_path / "heads.h5")
    assert found.key == "images" and found.parts["train"].n_volumes == 2
    inside = inspect(tmp_path)
    assert not inside.is_usable
    assert any("name the file itself by `images`" in note for note in inside.notes)


def test_one_file_of_images_is_checked_as_its_folder_would_be(tmp_path):
    """It cannot train alone, which is no reason to call it damaged HDF5."""
    import nibabel
    from pydicom.data import get_testdata_file

    ball = np.pad(np.arange(100, 120, dtype=np.int16) * np.ones((24, 30, 1), np.int16), 4)
    for name in ("anna", "ben"):
        nibabel.save(nibabel.Nifti1Image(ball, np.eye(4)), tmp_path / f"{name}.nii.gz")
    folder, alone = inspect(tmp_path), inspect(tmp_path / "anna.nii.gz")
    assert alone.key == folder.key == "images" and folder.is_usable
    assert alone.parts["found"] == folder.parts["train"]
    assert "shows one subject (anna); validation needs another one" in alone.problem
    with pytest.raises(FileError, match="everything usable in it shows one subject"):
        open_data(TrainingConfig(images=str(tmp_path / "anna.nii.gz")))
    dicom = inspect(get_testdata_file("MR_small.dcm"))
    assert (dicom.parts["found"].n_slices, dicom.parts["found"].sequences) == (1, {"DICOM": 1})
    assert "one subject" in dicom.problem
    whole = (tmp_path / "anna.nii.gz").read_bytes()
    (tmp_path / "anna.nii.gz").write_bytes(whole[: len(whole) // 2])
    assert inspect(tmp_path / "anna.nii.gz").problem.startswith("is a damaged NIfTI file")
    (tmp_path / "notes.txt").write_text("a note")
    assert inspect(tmp_path / "notes.txt").problem.startswith("is text; fully sampled fastMRI files, or DICOM")
    assert "Of raw data, the folder is named by `kspace`" in inspect(write_scan(tmp_path / "scan.h5")).problem


def test_folders_that_cannot_train(tmp_path):
    assert "is empty" in inspect(tmp_path).problem
    (tmp_path / "read-me.txt").write_text("a note")
    assert "read-me.txt is text" in inspect(tmp_path).problem
    write_scan(tmp_path / "a.h5", patient="anna")
    alone = inspect(tmp_path)
    assert "one subject (anna)" in alone.problem
    assert alone.parts["found"].n_volumes == 1
    with pytest.raises(FileError, match="no such folder"):
        inspect(tmp_path / "nowhere")


def test_downloads_that_were_broken_off_are_named(tmp_path):
    for name in "abc":
        write_scan(tmp_path / f"{name}.h5")
    (tmp_path / "empty.h5").touch()
    (tmp_path / "page.h5").write_text("<html>404</html>")
    (tmp_path / "read-me.txt").touch()
    reasons = {entry.path.name: entry.reason for entry in inspect(tmp_path).unusable}
    assert reasons == {
        "empty.h5": "is empty (0 bytes), though its name says HDF5; copy or download it again.",
        "page.h5": "is text, though its name says HDF5; copy or download it again.",
    }
    declined = open_data(TrainingConfig(kspace=str(tmp_path))).declined
    assert {entry.path.name: entry.reason for entry in declined} == reasons
    images = tmp_path / "images"
    images.mkdir()
    (tmp_path / "empty.h5").rename(images / "empty.h5")
    for name in ("anna", "ben"):
        np.save(images / f"{name}.npy", np.pad(np.arange(1, 31) * np.ones((4, 30, 1)), ((0, 0), (5, 5), (5, 5))))
    assert [entry.path.name for entry in inspect(images).unusable] == ["empty.h5"]


def test_the_command_prints_it(folder, capsys):
    assert cli.main(["train", "--check", str(folder), "--set", "validation_share=0.5"]) == 0
    text = capsys.readouterr().out
    assert "3 files cannot be used" in text and "nan.h5: " in text
    assert "validation: " in text and "40 × 32" in text
    assert cli.main(["train", "--check", str(folder), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["usable"] and values["key"] == "kspace"
    assert {entry["path"].rsplit("/", 1)[1] for entry in values["unusable"]} == {"nan.h5", "test.h5", "none.h5"}
    for path in folder.glob("*.h5"):
        path.unlink()
    assert cli.main(["train", "--check", str(folder), "--json"]) == 2
    captured = capsys.readouterr()
    assert not json.loads(captured.out)["usable"]
    assert "nothing in the folder can train" in captured.err


def test_what_other_commands_warn_of_is_said_before_a_training(tmp_path):
    for name in "abc":
        write_scan(tmp_path / f"{name}.h5", 3)
    with h5py.File(tmp_path / "c.h5", "r+") as file:
        stored = file["reconstruction_rss"][:]
        del file["reconstruction_rss"]
        file["reconstruction_rss"] = stored[:2]
    for name in "ab":
        with h5py.File(tmp_path / f"{name}.h5", "r+") as file:
            file["reconstruction_rss"][:] = 1000 * stored
    said = (
        "c.h5: The stored `reconstruction_rss` is ignored: it has 2 slices, but the k-space has 3.",
        "a.h5 and 1 more: slice 1: the reference is 1e+03 times as bright as the image of the k-space",
    )
    for notes in ("\n".join(inspect(tmp_path).notes), open_data(TrainingConfig(kspace=str(tmp_path))).note):
        assert all(sentence in notes for sentence in said)
