"""`export`: other formats of a stored result."""

import json


def test_a_stored_result_is_exported(run, scan, tmp_path):
    assert run("reconstruct", scan, "--model", "zero-filled", "--slices", "0:2", "--out", tmp_path)[0] == 0
    status, out, err = run("export", tmp_path / "head.zero-filled.json", "--format", "nii,png", "--json")
    assert (status, err) == (0, "")
    [record] = json.loads(out)
    assert record["files"] == ["head.zero-filled.h5", "head.zero-filled.nii.gz", "head.zero-filled.png"]
    assert all((tmp_path / name).exists() for name in record["files"])
    assert record == json.loads((tmp_path / "head.zero-filled.json").read_text())


def test_a_bad_result_does_not_stop_the_others(run, scan, tmp_path):
    assert run("reconstruct", scan, "--model", "zero-filled", "--slices", "0", "--out", tmp_path)[0] == 0
    words = [scan, tmp_path / "missing.h5", tmp_path / "head.zero-filled.h5", "--format", "nifti", "--out"]
    status, out, err = run("export", *words, tmp_path / "more")
    assert status == 2
    assert len(err.splitlines()) == 2 and "no result of this program" in err and "missing.h5" in err
    assert out.splitlines() == [str(tmp_path / "more" / f"head.zero-filled{end}") for end in (".nii.gz", ".json")]
    assert run("export", tmp_path / "head.zero-filled.h5")[0] == 2
