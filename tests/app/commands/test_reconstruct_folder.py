"""What `reconstruct` leaves where nothing came of it, and what it says of patients."""

from __future__ import annotations


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
