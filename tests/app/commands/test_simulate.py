"""`simulate`: images become a scan that says it is simulated."""

import json

import h5py
import numpy as np
import pytest

import recon


def picture():
    y, x = np.mgrid[-1:1:48j, -1:1:40j]
    return np.where(y**2 + x**2 < 0.6, 100 + 50 * x, 0)


def test_images_become_a_scan_that_says_it_is_simulated(run, tmp_path):
    np.save(tmp_path / "images.npy", np.stack([picture(), 2 * picture()]))
    out_file = tmp_path / "scan.h5"
    words = [
        "simulate",
        tmp_path / "images.npy",
        "--coils",
        3,
        "--phase",
        "--noise",
        0.01,
        "--seed",
        5,
        "--out",
        out_file,
    ]
    status, out, _ = run(*words, "--json")
    assert status == 0
    assert json.loads(out)["shape"] == [2, 3, 48, 40]
    series = recon.open_study(out_file).series[0]
    assert (series.n_slices, series.n_coils, series.matrix) == (2, 3, (48, 40))
    assert series.is_simulated and series.simulation.noise == 0.01
    assert any("simulated" in note for note in series.notes)
    assert not series.geometry.flip_rows
    first, kspace, reference = out_file.read_bytes(), series.source.kspace(1), series.source.reference(0)
    assert run(*words)[0] == 0
    with h5py.File(out_file) as again:
        assert np.array_equal(kspace, again["kspace"][1])
    assert len(first) == out_file.stat().st_size
    inside = picture() > 0
    assert np.corrcoef(reference[inside], picture()[inside])[0, 1] > 0.5


def test_pictures_become_slices(run, tmp_path):
    from PIL import Image

    for name in ("a.png", "b.png"):
        Image.fromarray(picture().astype(np.uint8)).save(tmp_path / name)
    status, out, _ = run("simulate", tmp_path / "a.png", tmp_path / "b.png", "--out", tmp_path / "scan.h5", "--json")
    assert status == 0
    assert json.loads(out)["shape"] == [2, 4, 48, 40]
    # A picture does not say how large a pixel is, and neither does the file that is made of it.
    geometry = recon.open_study(tmp_path / "scan.h5").series[0].geometry
    assert geometry.spacing_is_assumed and geometry.thickness_is_assumed


def test_colours_are_refused_and_grey_in_colour_channels_is_not(run, tmp_path):
    from PIL import Image

    grey = Image.fromarray(picture().astype(np.uint8))
    simulated = {}
    for mode in ("L", "RGB", "RGBA", "LA", "P"):
        grey.convert(mode).save(tmp_path / f"{mode}.png")
        out = tmp_path / f"{mode}.h5"
        assert run("simulate", tmp_path / f"{mode}.png", "--out", out)[0] == 0
        simulated[mode] = recon.open_study(out).series[0].source.kspace(0)
        np.testing.assert_array_equal(simulated[mode], simulated["L"])
    for mode in ("RGB", "RGBA"):
        overlay = grey.convert(mode)
        overlay.putpixel((20, 24), (200, 30, 0, 255)[: len(mode)])
        overlay.save(tmp_path / "overlay.png")
        status, _, err = run("simulate", tmp_path / "overlay.png", "--out", tmp_path / "overlay.h5")
        assert status == 2 and f"overlay.png: is a colour picture ({mode})" in err
        assert not (tmp_path / "overlay.h5").exists()


def test_a_folder_of_dicom_files_is_named_as_it_was_given(run, scan, tmp_path):
    words = ["reconstruct", scan, "--model", "zero-filled", "--slices", "0:2", "--format", "dicom", "--out", tmp_path]
    assert run(*words)[0] == 0
    assert run("simulate", tmp_path / "head.zero-filled.dcm", "--out", tmp_path / "scan.h5")[0] == 0
    series = recon.open_study(tmp_path / "scan.h5").series[0]
    assert (series.n_slices, series.header.source) == (2, "simulated from head.zero-filled.dcm")


def test_of_a_file_of_volumes_the_first_is_taken_which_is_said(run, tmp_path):
    import nibabel

    volumes = np.stack([np.stack([factor * picture()] * 3, axis=-1) for factor in (1, 2)], axis=-1)
    nibabel.save(nibabel.Nifti1Image(volumes.astype(np.int16), np.eye(4)), tmp_path / "bold.nii.gz")
    status, out, err = run("simulate", tmp_path / "bold.nii.gz", "--out", tmp_path / "scan.h5", "--json")
    assert status == 0
    assert json.loads(out)["shape"][0] == 3
    assert "bold.nii.gz: holds several volumes, and the first is taken (volume 1 of 2)" in err
    assert (
        recon.open_study(tmp_path / "scan.h5").series[0].header.source == "simulated from bold.nii.gz (volume 1 of 2)"
    )


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (np.zeros((32, 32)), "empty"),
        (np.full((32, 32), np.nan), "NaN"),
        (np.ones((2, 2, 32, 32)), "shape"),
        (np.ones((8, 8)), "at least 16"),
        (np.array(["text"] * 4).reshape(2, 2), "16"),
    ],
)
def test_images_that_cannot_be_used_are_refused(run, tmp_path, content, text):
    np.save(tmp_path / "bad.npy", content)
    status, out, err = run("simulate", tmp_path / "bad.npy", "--out", tmp_path / "scan.h5")
    assert (status, out) == (2, "")
    assert text in err
    assert not (tmp_path / "scan.h5").exists()


def test_images_of_two_sizes_are_refused(run, tmp_path):
    np.save(tmp_path / "a.npy", np.ones((32, 32)))
    np.save(tmp_path / "b.npy", np.ones((32, 40)))
    status, _, err = run("simulate", tmp_path / "a.npy", tmp_path / "b.npy", "--out", tmp_path / "scan.h5")
    assert status == 2
    assert "b.npy" in err


def test_raw_data_needs_no_simulation(run, scan, tmp_path):
    status, _, err = run("simulate", scan, "--out", tmp_path / "scan.h5")
    assert status == 2
    assert "raw data" in err
