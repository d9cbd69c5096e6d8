"""What `reconstruct` leaves in its folder, where others may write too, and what it says of patients."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from recon import phantom
from recon.batch import ReconstructionWork
from recon.journal import RunJournal
from recon.request import Request


def test_one_folder_serves_several_runs_at_a_time(run, scan, tmp_path):
    job = {"paths": [scan], "formats": ["hdf5"], "stages": False, "slices": "0", "out": tmp_path}
    works = [ReconstructionWork(job | {"requests": [Request(name).to_dict()]}) for name in ("zero-filled", "cs-tv")]
    for work in works:
        work.begin(0, None, work.prepare())
        work.process(0, lambda *_: None)
    words = ["reconstruct", scan, "--model", "zero-filled", "--slices", 0, "--out", tmp_path, "--json"]
    status, out, _ = run(*words)
    assert (status, len(json.loads(out))) == (0, 1)
    for work in works:
        assert work.finish() == 0
        assert [record["request"]["model"] for record in work.outcome()] == [work.requests[0].model]
    assert all(path.name.startswith("head.") for path in tmp_path.iterdir())


def test_what_a_killed_run_left_is_swept_up_and_what_goes_on_is_not(tmp_path):
    killed, interrupted, alive, joined = (RunJournal(tmp_path) for _ in range(4))
    lock = killed.folder.with_suffix(".lock")
    killed.append({"key": "0/0"})
    interrupted.append({"key": "0/0"})
    lock.write_text("{}")  # nobody holds it
    name = alive.open()
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.lock"]
    joined.join(name, 1)
    joined.append({"key": "0/1"})
    RunJournal(tmp_path).open()
    assert alive.read() == {"0/1": {"key": "0/1"}}
    alive.remove()
    assert not list(tmp_path.glob(f"{name}*"))


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_format_that_fails_costs_neither_the_others_nor_the_record(run, tmp_path, processes):
    scan = phantom.write(tmp_path / "head.h5", phantom.PhantomSpec(n_slices=4, n_coils=2, matrix=(32, 32)))
    with h5py.File(scan, "r+") as file:
        file["kspace"][1, 0, 5, 5] = np.nan
    words = ["--format", "hdf5,nifti,csv", "--processes", processes, "--out", tmp_path / "out"]
    status, out, err = run("reconstruct", scan, "--model", "zero-filled", *words)
    assert status == 2  # the greater of that of the data, 2, and that of the writing, 1
    assert "head.zero-filled.h5, head.zero-filled.csv, head.zero-filled.json" in out
    if processes == 1:  # others write to stderr themselves
        errors = [line for line in err.splitlines() if "error: " in line]
        assert ["slice 1" in errors[0], "not evenly spaced" in errors[1], len(errors)] == [True, True, 2]
    assert sorted(path.name.rpartition(".")[2] for path in (tmp_path / "out").iterdir()) == ["csv", "h5", "json"]


def names(folder):
    return sorted(path.name.removeprefix("head.zero-filled") for path in folder.iterdir())


def test_a_result_of_another_recipe_takes_the_place_of_the_former_and_says_so(run, scan, tmp_path):
    out = tmp_path / "out"
    words = ["reconstruct", scan, "--model", "zero-filled", "--out", out, "--slices"]
    assert "replaces" not in run(*words, "0:3", "--format", "hdf5,dicom,csv,nifti,png")[2]
    (out / "head.zero-filled.dcm" / "notes.txt").write_text("mine")
    (out / "head.zero-filled.mine.txt").write_text("mine")
    before = json.loads((out / "head.zero-filled.json").read_text())
    status, _, err = run(*words, "0:2", "--acceleration", 8, "--format", "hdf5,csv")
    assert status == 0
    (said,) = [line for line in err.splitlines() if "replaces" in line]
    assert "replaces the result of the same scan with acceleration 4, slices unlike now, written 20" in said
    assert "its head.zero-filled.dcm, head.zero-filled.nii.gz, head.zero-filled.png are removed." in said
    assert names(out) == [".csv", ".dcm", ".h5", ".json", ".mine.txt"]
    assert [path.name for path in (out / "head.zero-filled.dcm").iterdir()] == ["notes.txt"]
    assert json.loads((out / "head.zero-filled.json").read_text())["files"] == [
        "head.zero-filled.h5", "head.zero-filled.csv",
    ]  # fmt: skip
    assert "head.zero-filled.dcm" in before["files"]


def test_the_same_recipe_adds_formats_to_its_result(run, scan, tmp_path):
    words = ["reconstruct", scan, "--model", "zero-filled", "--out", tmp_path, "--slices", "0:2", "--format"]
    assert run(*words, "hdf5,csv")[0] == 0
    words[words.index("0:2")] = "0,1"
    status, _, err = run(*words, "nifti,csv", "--device", "cpu")
    assert status == 0 and "replaces" not in err
    assert names(tmp_path) == [".csv", ".h5", ".json", ".nii.gz"]
    listed = json.loads((tmp_path / "head.zero-filled.json").read_text())["files"]
    assert sorted(listed) == [f"head.zero-filled{ending}" for ending in (".csv", ".h5", ".nii.gz")]


def test_another_scan_of_the_same_name_takes_the_place_of_the_former_and_says_so(run, scan, tmp_path):
    other = phantom.write(tmp_path / "val" / scan.name, phantom.PhantomSpec(n_slices=2, n_coils=2, matrix=(32, 32)))
    words = ["reconstruct", "--model", "zero-filled", "--slices", "0", "--out", tmp_path / "out"]
    assert run(*words, scan, "--format", "hdf5,csv")[0] == 0
    err = run(*words, other)[2]
    assert "replaces the result of another scan (head.h5), written 20" in err
    assert "its head.zero-filled.csv is removed." in err
    assert names(tmp_path / "out") == [".h5", ".json"]
    # A run of which nothing comes takes nothing away, and neither does a record that names files elsewhere.
    kept = tmp_path / "kept.csv"
    kept.write_text("mine")
    record = tmp_path / "out" / "head.zero-filled.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"files": ["../kept.csv", "head.zero-filled.h5"]}))
    assert run(*words, scan, "--format", "movie")[0] == 2
    assert names(tmp_path / "out") == [".h5", ".json"]
    assert run(*words, scan, "--format", "csv")[0] == 0
    assert names(tmp_path / "out") == [".csv", ".json"] and kept.exists()


def test_a_refused_run_leaves_no_empty_folders(run, tmp_path):
    out = tmp_path / "new" / "results"
    assert run("reconstruct", tmp_path / "missing.h5", "--model", "zero-filled", "--out", out)[0] == 2
    assert not (tmp_path / "new").exists()
    out.mkdir(parents=True)
    assert run("reconstruct", tmp_path / "missing.h5", "--model", "zero-filled", "--out", out)[0] == 2
    assert out.exists()


def test_names_in_dicom_files_are_pointed_out(run, shared_data, tmp_path):
    words = ("reconstruct", shared_data / "dicom" / "siemens_t1_fl2d_sag", "--model", "zero-filled", "--slices", "0")
    status, _, err = run(*words, "--format", "dicom", "--out", tmp_path)
    assert status == 0 and "dicom: DICOM files keep the patient and the study of their source, names included." in err
    status, _, err = run(*words, "--format", "dicom-anonymous", "--out", tmp_path)
    assert status == 0 and "the surface of a head can show a face" in err and "names included" not in err
    assert "patient" not in run(*words, "--format", "hdf5", "--out", tmp_path)[2].lower()
