"""`info`: what a scan is and what is wrong with it."""

import json
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest

from recon import phantom

ROOT = Path(__file__).resolve().parents[3]
BRAIN = ROOT / "resources" / "demo" / "derived_brain_4ch.h5"


def test_info_says_what_a_scan_is(run, scan):
    status, out, err = run("info", scan, "--json", "--check")
    assert (status, err) == (0, "")
    [found] = json.loads(out)
    [series] = found["series"]
    assert (series["n_slices"], series["n_coils"], series["matrix"]) == (3, 2, [64, 64])
    assert series["sampling"] == {"pattern": "full", "acceleration": 1.0}
    assert series["header"]["echo_time_ms"] == 103
    assert series["header"]["source"] == phantom.SOURCE
    assert series["problem"] is None


def test_info_is_readable(run):
    status, out, err = run("info", BRAIN)
    assert (status, err) == (0, "")
    for text in ("1 slice, 4 coils, 256 × 256", "reference", "MIT", "andyschwarzl/gpuNUFFT"):
        assert text in out


def test_info_exits_2_for_what_it_cannot_read_and_goes_on(run, scan, tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("no scan")
    status, out, err = run("info", text, scan, tmp_path / "missing.h5", "--json")
    assert status == 2
    bad, good, missing = json.loads(out)
    assert str(text) in bad["error"]
    assert good["error"] is None
    assert "missing.h5" in missing["error"]
    assert len(err.splitlines()) == 2


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_info_says_what_is_wrong_with_the_samples(run, scan, tmp_path, value):
    path = tmp_path / "bad.h5"
    path.write_bytes(scan.read_bytes())
    with h5py.File(path, "r+") as file:
        file["kspace"][:] = value
    status, out, err = run("info", path, "--json")
    assert status == 2
    assert json.loads(out)[0]["series"][0]["problem"] in err
    assert "slice 1" in err


@pytest.mark.parametrize(("value", "problem"), [(np.inf, "infinite"), (1e37, "so large that its image overflows")])
def test_info_reads_every_slice_when_asked(run, scan, tmp_path, value, problem):
    path = tmp_path / "bad.h5"
    path.write_bytes(scan.read_bytes())
    with h5py.File(path, "r+") as file:
        file["kspace"][2, 0, 3, 4] = value
    assert run("info", path)[0] == 0
    status, _, err = run("info", path, "--check")
    assert status == 2
    assert "slice 2" in err and problem in err


def test_info_describes_prospective_sampling(run, scan, tmp_path):
    path = tmp_path / "undersampled.h5"
    with h5py.File(scan) as source, h5py.File(path, "w") as file:
        mask = np.zeros(64, np.float32)
        mask[28:36] = mask[::8] = 1
        file["kspace"] = source["kspace"][()] * mask
        file["mask"] = mask
    status, out, _ = run("info", path, "--json")
    assert status == 0
    sampling = json.loads(out)[0]["series"][0]["sampling"]
    assert sampling["pattern"] == "lines"
    assert sampling["n_acquired"] == int(mask.sum())
    assert f"{int(mask.sum())} of 64 columns" in run("info", path)[1]


def test_a_folder_begins_with_a_line_a_file(run, scan, tmp_path):
    for name in ("a/head.h5", "b/head.h5", "b/neck.h5"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(scan.read_bytes())
    with h5py.File(tmp_path / "b/neck.h5", "r+") as file:
        mask = np.zeros(64, np.float32)
        mask[28:36] = mask[::8] = 1
        file["mask"] = mask
    with h5py.File(tmp_path / "b/head.h5", "r+") as file:
        file["kspace"][:] = np.nan
    (tmp_path / "c.h5").write_text("no scan")
    status, out, err = run("info", tmp_path)
    assert (status, err) == (0, "")
    first, _, titles, _, *rows = out.splitlines()
    assert first == str(tmp_path)
    assert titles.split() == ["file", "contrast", "slices", "coils", "matrix", "sampling", "reference", "notes"]
    assert [row.split() for row in rows[:3]] == [
        ["a/head.h5", "AXT2", "3", "2", "64", "×", "64", "full", "yes", "2", "notes"],
        ["b/head.h5", "AXT2", "3", "2", "64", "×", "64", "full", "yes", "problem"],
        ["neck.h5", "AXT2", "3", "2", "64", "×", "64", "23", "%", "sampled", "yes", "3", "notes"],
    ]
    details = [line for line in rows[3:] if line.startswith("  ") and line[2] != " "]
    assert details == ["  head · AXT2 (a/head.h5)", "  head · AXT2 (b/head.h5)", "  neck · AXT2", "  1 declined:"]
    assert "1 declined" in out
    assert "contrast" not in run("info", scan)[1]


def test_volumes_that_are_alike_are_described_once(run, tmp_path):
    volumes = np.ones((16, 16, 3, 12), np.float32)
    nibabel.save(nibabel.Nifti1Image(volumes, np.eye(4)), tmp_path / "bold.nii")
    out = run("info", tmp_path / "bold.nii")[1]
    assert out.count("bold · volume ") == 12 + 2
    assert out.count("3 slices, 4 coils, 16 × 16") == 1
    assert out.splitlines()[-1] == "    and 11 more like it, to bold · volume 12 of 12"
    assert len(json.loads(run("info", tmp_path / "bold.nii", "--json")[1])[0]["series"]) == 12


def test_info_says_which_sizes_the_file_does_not_say(run, scan, tmp_path):
    path = tmp_path / "bare.h5"
    with h5py.File(scan) as source, h5py.File(path, "w") as file:
        file["kspace"] = source["kspace"][()]
    assert "64 × 64, 1 × 1 × 5 mm (spacing, thickness and position assumed)" in run("info", path)[1]
    assert " mm (position assumed)" in run("info", scan)[1]
    [series] = json.loads(run("info", path, "--json")[1])[0]["series"]
    assert series["pixel_spacing_is_assumed"] and series["slice_thickness_is_assumed"]


def test_info_calls_data_too_small_that_reconstruct_would_refuse(run, scan, tmp_path):
    path = tmp_path / "tiny.h5"
    path.write_bytes(scan.read_bytes())
    with h5py.File(path, "r+") as file:
        file["kspace"][()] = file["kspace"][()] / np.abs(file["kspace"][()]).max() * 1e-24
    status, _, err = run("info", path, "--check")
    assert status == 2 and "1.0e-24, so small that its image underflows to zero" in err
    assert run("reconstruct", path, "--model", "zero-filled", "--out", tmp_path / "out")[0] == 2
