"""A stored result, written again: the same files as at first, as long as what they need is there."""

from __future__ import annotations

import errno
import json
import shutil

import h5py
import numpy as np
import pydicom
import pytest

import recon
from recon import phantom
from recon.errors import ExportError, FileError
from recon.export import stored
from recon.result import FORMATS as ALL_FORMATS

# Anonymous images carry the names of one user, and every test is another's.
FORMATS = tuple(one for one in ALL_FORMATS if one != "dicom-anonymous")
REQUEST = recon.Request(model="zero-filled", mask=recon.MaskSpec("random", 4, seed=3), slices=(0, 2), device="cpu")


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    spec = phantom.PhantomSpec(n_slices=3, n_coils=2, matrix=(48, 40))
    return phantom.write(tmp_path_factory.mktemp("scan") / "head.h5", spec)


@pytest.fixture(scope="module")
def first(scan, tmp_path_factory):
    """Everything, written as soon as it was made."""
    folder = tmp_path_factory.mktemp("first")
    result = recon.run(recon.open_study(scan).series[0], REQUEST)
    result.save(folder, FORMATS, stages=True)
    return folder


@pytest.fixture
def result(first, tmp_path):
    """The HDF5 file and its record alone, in a folder of their own."""
    folder = tmp_path / "stored"
    folder.mkdir()
    for ending in (".h5", ".json"):
        shutil.copy(first / f"head.zero-filled{ending}", folder)
    return folder / "head.zero-filled.h5"


def files(folder):
    return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("ending", [".h5", ".json"])
def test_the_same_files_come_out(first, result, ending):
    written = stored.read(result.with_suffix(ending)).export(result.parent, FORMATS)
    assert written[-1] == result.with_suffix(".json")
    made, expected = files(result.parent), files(first)
    assert made.keys() == expected.keys()
    for name in made:
        if name.endswith(".dcm"):
            one, other = pydicom.dcmread(made[name]), pydicom.dcmread(expected[name])
            differing = {element.keyword for element in one if element != other.get(element.tag)}
            assert all(keyword.endswith(("Date", "Time", "Sequence")) for keyword in differing)  # the moment of export
            assert one.SOPInstanceUID == other.SOPInstanceUID
        elif name.endswith(".png"):
            assert made[name].stat().st_size == expected[name].stat().st_size
        else:
            assert made[name].read_bytes() == expected[name].read_bytes(), name


def fail_on(monkeypatch, ending):
    """Let the disk be full where a file of this ending is written."""
    from recon.export import atomic

    original = atomic.Path.replace

    def replace(path, target):
        if str(target).endswith(ending):
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(path, target)

    monkeypatch.setattr(atomic.Path, "replace", replace)


@pytest.mark.parametrize(
    ("ending", "left"),
    [(".png", ["head.zero-filled.dcm", "head.zero-filled.h5", "head.zero-filled.json"]), (".json", []), (".h5", [])],
)
def test_on_a_full_disk_no_file_stays_without_its_record(scan, tmp_path, monkeypatch, ending, left):
    result = recon.run(recon.open_study(scan).series[0], REQUEST)
    fail_on(monkeypatch, ending)
    with pytest.raises(ExportError, match="the disk is full"):
        result.save(tmp_path, ["hdf5", "dicom", "png", "nifti"])
    assert sorted(path.name for path in tmp_path.iterdir()) == left
    if left:
        record = json.loads((tmp_path / left[-1]).read_text())
        assert sorted(record["files"]) == left[:-1]


def test_on_a_full_disk_a_stored_result_keeps_its_files_and_their_names(result, monkeypatch):
    fail_on(monkeypatch, ".png")
    with pytest.raises(ExportError, match="the disk is full"):
        stored.read(result).export(result.parent, ["nifti", "png"])
    record = json.loads(result.with_suffix(".json").read_text())
    assert record["files"] == ["head.zero-filled.h5", "head.zero-filled.nii.gz"]


def test_scores_of_a_stored_result_need_no_scan(first, result, tmp_path):
    kept = stored.read(result)
    object.__setattr__(kept, "scan", None)
    object.__setattr__(kept, "reference", None)
    kept.export(tmp_path / "scores", ["csv"])
    written = (tmp_path / "scores" / "head.zero-filled.csv").read_bytes()
    assert written == (first / "head.zero-filled.csv").read_bytes()


def test_record_keeps_what_it_said_and_names_the_new_files(first, result):
    before = json.loads(result.with_suffix(".json").read_text())
    for gone in (".dcm", ".nii.gz", ".png"):
        assert f"head.zero-filled{gone}" in before["files"]
    stored.read(result).export(result.parent, ["nifti"])
    after = json.loads(result.with_suffix(".json").read_text())
    assert after["files"] == ["head.zero-filled.h5", "head.zero-filled.nii.gz"]
    assert {**after, "files": 0} == {**before, "files": 0}
    assert after["metrics"]["psnr"]["volume"] > 10


def test_another_folder_gets_a_record_of_its_own(result, tmp_path):
    stored.read(result).export(tmp_path / "out", ["nifti"])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "head.zero-filled.json", "head.zero-filled.nii.gz",
    ]  # fmt: skip
    record = json.loads((tmp_path / "out" / "head.zero-filled.json").read_text())
    assert record["files"] == ["head.zero-filled.nii.gz"]


def test_a_renamed_result_keeps_its_name(result, tmp_path):
    moved = result.rename(tmp_path / "mine.h5")
    assert [path.name for path in stored.read(moved).export(tmp_path, ["dicom"])] == ["mine.dcm", "mine.json"]


def test_what_was_stored_is_what_was_made(scan, result):
    made = recon.run(recon.open_study(scan).series[0], REQUEST)
    found = stored.read(result)
    assert found.request == made.request
    assert found.indices == (0, 2)
    for name in ("final", "zero_filled", "reference"):
        np.testing.assert_allclose(getattr(found, name), getattr(made, name), rtol=1e-5)
    np.testing.assert_array_equal(found.mask.mask, made.mask.mask)
    assert found.mask.n_low_frequency == made.mask.n_low_frequency
    assert found.series.geometry == made.series.geometry
    assert found.series.header == made.series.header


def test_without_the_scan_all_but_the_figure_is_there(first, scan, result, tmp_path):
    here = tmp_path / "elsewhere.h5"
    with h5py.File(result, "r+") as file:
        origin = json.loads(file["origin"].asstr()[()]) | {"scan": str(tmp_path / "gone.h5")}
        del file["origin"]
        file["origin"] = json.dumps(origin)
    found = stored.read(result)
    assert found.scan is None
    with pytest.raises(FileError, match=r"was not found.*--scan"):
        found.export(tmp_path / "out", ["png"])
    assert not (tmp_path / "out").exists()
    found.export(tmp_path / "out", ["dicom", "nifti", "hdf5"])
    one, other = (
        pydicom.dcmread(folder / "head.zero-filled.dcm" / "reconstruction_0003.dcm")
        for folder in (first, tmp_path / "out")
    )
    assert one.PixelData == other.PixelData and one.SOPInstanceUID == other.SOPInstanceUID
    shutil.copy(scan, here)
    assert stored.read(result, here).scan.path == here
    other_scan = phantom.write(tmp_path / "other.h5", phantom.PhantomSpec(n_slices=2, n_coils=2, matrix=(48, 40)))
    with pytest.raises(FileError, match=r"no scan like head.* of 3 slices;"):
        stored.read(result, other_scan)
    thin = phantom.write(tmp_path / "thin.h5", phantom.PhantomSpec(n_slices=1, n_coils=2, matrix=(48, 40)))
    recon.run(recon.open_study(thin).series[0], recon.Request("zero-filled", device="cpu")).save(tmp_path, name="one")
    with pytest.raises(FileError, match=r"no scan like thin.* of 1 slice;"):
        stored.read(tmp_path / "one.h5", other_scan)


def test_dicom_of_a_dicom_scan_needs_it(write_dicom, tmp_path):
    for number in range(2):
        write_dicom(tmp_path / "scan" / f"{number}.dcm", slice=number)
    series = recon.open_study(tmp_path / "scan", recon.SimulationSpec(n_coils=2, noise=0.01)).series[0]
    recon.run(series, recon.Request(model="zero-filled")).save(tmp_path / "out")
    [path] = (tmp_path / "out").glob("*.h5")
    assert b"Doe" not in path.read_bytes() and b"4711" not in path.read_bytes()
    found = stored.read(path)
    assert found.series.simulation == recon.SimulationSpec(**series.simulation.to_dict())
    found.export(tmp_path / "out", ["dicom"])
    [folder] = (tmp_path / "out").glob("*.dcm")
    assert pydicom.dcmread(folder / "reconstruction_0001.dcm").PatientID == "HOSPITAL-4711"
    (tmp_path / "scan").rename(tmp_path / "moved")
    for name in ("dicom", "dicom-anonymous"):
        with pytest.raises(FileError, match=f"{name} needs it; say where it is with --scan"):
            stored.read(path).export(tmp_path / "again", [name])
    stored.read(path, tmp_path / "moved").export(tmp_path / "again", ["dicom"])
    assert len(list((tmp_path / "again").glob("*.dcm/*.dcm"))) == 2


def test_dicom_of_another_patient_is_not_the_scan(write_dicom, tmp_path):
    """Scans of one protocol differ in nothing but whose they are: a result must never go out under another name."""
    for patient, series in (("A", "1.2.3.1"), ("B", "1.2.3.2")):
        for number in range(2):
            name = tmp_path / "scan" / f"{patient}{number}.dcm"
            write_dicom(name, slice=number, PatientID=patient, SeriesInstanceUID=series)
    for series in recon.open_study(tmp_path / "scan").series:
        recon.run(series, recon.Request(model="zero-filled")).save(tmp_path / "out")
    for patient in ("A", "B"):
        [path] = (tmp_path / "out").glob(f"{patient}*.h5")
        [folder, _] = stored.read(path).export(tmp_path / "exported", ["dicom"])
        assert {pydicom.dcmread(file).PatientID for file in folder.iterdir()} == {patient}
    for file in (tmp_path / "scan").glob("B*"):
        file.rename(tmp_path / "scan" / file.name.replace("B", "A"))
    [path] = (tmp_path / "out").glob("A*.h5")
    with pytest.raises(FileError, match="dicom needs it"):
        stored.read(path).export(tmp_path / "again", ["dicom"])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda file: file.pop("record"), "is no result of this program"),
        (lambda file: file.attrs.clear() or file.pop("reconstruction"), "is no result of this program"),
        (lambda file: replace(file, "record", "{"), "damaged record"),
        (lambda file: replace(file, "record", "[]"), "damaged record"),
        (lambda file: replace(file, "origin", "{}"), "damaged record"),
        (lambda file: replace(file, "reconstruction", np.zeros((1, 4, 4), np.float32)), "for 2 slices"),
    ],
)
def test_damaged_results_are_refused(result, spoil, words):
    with h5py.File(result, "r+") as file:
        spoil(file)
    with pytest.raises(FileError, match=words):
        stored.read(result)


def replace(file, name, value):
    del file[name]
    file[name] = value


def test_what_is_no_result_is_refused(scan, first, tmp_path):
    with pytest.raises(FileError, match="is no result of this program"):
        stored.read(scan)
    with pytest.raises(FileError, match="no such file"):
        stored.read(tmp_path / "missing.h5")
    with pytest.raises(FileError, match="is a folder"):
        stored.read(tmp_path)
    (tmp_path / "figure.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(FileError, match="is no HDF5 file"):
        stored.read(tmp_path / "figure.png")
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(FileError, match="is no record"):
        stored.read(tmp_path / "a.json")
    shutil.copy(first / "head.zero-filled.json", tmp_path)
    with pytest.raises(FileError, match="names no HDF5 file beside it"):
        stored.read(tmp_path / "head.zero-filled.json")


def test_the_phase_is_stored_and_written_again(scan, tmp_path):
    wanted = recon.Request(**{**vars(REQUEST), "phase": True})
    result = recon.run(recon.open_study(scan).series[0], wanted)
    formats = ("hdf5", "dicom", "nifti", "png")
    first = [path.name for path in result.save(tmp_path / "first", formats)]
    stem = "head.zero-filled"
    assert first == [
        f"{stem}.h5", f"{stem}.dcm", f"{stem}.phase.dcm", f"{stem}.nii.gz", f"{stem}.phase.nii.gz", f"{stem}.png",
        f"{stem}.json",
    ]  # fmt: skip
    with h5py.File(tmp_path / "first" / first[0]) as file:
        assert np.array_equal(file["phase"][()], result.phase) and file["phase"].attrs["unit"] == "rad"
    (tmp_path / "again").mkdir()
    for name in (f"{stem}.h5", f"{stem}.json"):
        shutil.copy(tmp_path / "first" / name, tmp_path / "again")
    again = stored.read(tmp_path / "again" / f"{stem}.h5")
    assert np.array_equal(again.phase, result.phase)
    again.export(tmp_path / "again", ["nifti"])
    volumes = [(tmp_path / folder / f"{stem}.phase.nii.gz").read_bytes() for folder in ("first", "again")]
    assert volumes[0] == volumes[1]
    plain = result.without_phase()
    assert plain.phase is None and plain.request == REQUEST
    assert f"{stem}.phase.nii.gz" not in {path.name for path in plain.save(tmp_path / "plain", formats)}
    # Results are results, the phase of one too.
    assert not [one for one in recon.open_study(tmp_path / "first").series if not one.is_result]
