"""`export`: other formats of a stored result."""

import json

from PIL import Image


def test_a_stored_result_is_exported(run, scan, tmp_path):
    assert run("reconstruct", scan, "--model", "zero-filled", "--slices", "0:2", "--out", tmp_path)[0] == 0
    status, out, err = run("export", tmp_path / "head.zero-filled.json", "--format", "nii,png", "--json")
    assert (status, err) == (0, "")
    [record] = json.loads(out)
    assert record["files"] == ["head.zero-filled.h5", "head.zero-filled.nii.gz", "head.zero-filled.png"]
    assert all((tmp_path / name).exists() for name in record["files"])
    assert record == json.loads((tmp_path / "head.zero-filled.json").read_text())


def test_a_format_that_fails_does_not_cost_the_others(run, scan, tmp_path):
    copy = tmp_path / "scan.h5"
    copy.write_bytes(scan.read_bytes())
    assert run("reconstruct", copy, "--model", "zero-filled", "--slices", "0:2", "--out", tmp_path)[0] == 0
    copy.unlink()
    status, out, err = run("export", tmp_path / "scan.zero-filled.h5", "--format", "png,nifti,movie", "--json")
    assert status == 2
    assert "movie and png need it; say where it is with --scan" in err and len(err.splitlines()) == 1
    [record] = json.loads(out)
    assert record["files"] == ["scan.zero-filled.h5", "scan.zero-filled.nii.gz"]


def test_a_bad_result_does_not_stop_the_others(run, scan, tmp_path):
    assert run("reconstruct", scan, "--model", "zero-filled", "--slices", "0", "--out", tmp_path)[0] == 0
    words = [scan, tmp_path / "missing.h5", tmp_path / "head.zero-filled.h5", "--format", "nifti", "--out"]
    status, out, err = run("export", *words, tmp_path / "more")
    assert status == 2
    assert len(err.splitlines()) == 2 and "no result of this program" in err and "missing.h5" in err
    assert out.splitlines() == [str(tmp_path / "more" / f"head.zero-filled{end}") for end in (".nii.gz", ".json")]
    assert run("export", tmp_path / "head.zero-filled.h5")[0] == 2


def frames(path):
    with Image.open(path) as movie:
        return movie.n_frames


def test_movies_of_a_stored_result(run, scan, tmp_path):
    words = ["--model", "cs-tv", "--slices", "1", "--set", "n_iterations=20", "--stages", "--out", tmp_path]
    assert run("reconstruct", scan, *words, "--format", "hdf5,movie")[0] == 0
    first = (tmp_path / "head.cs-tv.iterations.gif").read_bytes()
    assert not (tmp_path / "head.cs-tv.slices.gif").exists()
    status, out, err = run("export", tmp_path / "head.cs-tv.h5", "--format", "gif", "--out", tmp_path / "more")
    assert (status, err) == (0, "")
    assert out.splitlines() == [str(tmp_path / "more" / f"head.cs-tv{end}") for end in (".iterations.gif", ".json")]
    assert (tmp_path / "more" / "head.cs-tv.iterations.gif").read_bytes() == first


def test_a_result_in_which_nothing_moves_does_not_stop_the_others(run, scan, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    assert run("reconstruct", scan, "--model", "cs-tv", "--slices", "1", "--out", one)[0] == 0
    assert run("reconstruct", scan, "--model", "zero-filled", "--slices", "0:3", "--out", two)[0] == 0
    results = one / "head.cs-tv.h5", two / "head.zero-filled.h5"
    status, out, err = run("export", *results, "--format", "movie,nifti", "--out", tmp_path / "out")
    assert status == 2
    (line,) = err.splitlines()
    assert "head.cs-tv: nothing moves in a single image" in line and "--stages" in line and "more slices" in line
    assert [path.rpartition("/")[2] for path in out.splitlines()] == [
        "head.cs-tv.nii.gz", "head.cs-tv.json",
        "head.zero-filled.nii.gz", "head.zero-filled.slices.gif", "head.zero-filled.json",
    ]  # fmt: skip
    assert (tmp_path / "out" / "head.cs-tv.nii.gz").exists()
    assert frames(tmp_path / "out" / "head.zero-filled.slices.gif") == 3
