"""`demo`: the study, and the whole job without a display."""

import json
from pathlib import Path


def test_demo_study_is_written(run, tmp_path):
    status, out, _ = run("demo", "--out", tmp_path, "--json")
    assert status == 0
    assert {Path(item["file"]).name for item in json.loads(out)} == {path.name for path in tmp_path.iterdir()}


def test_demo_does_the_whole_job_without_a_display(run, tmp_path):
    status, out, err = run("demo", "--reconstruct", "--model", "zero-filled", "--out", tmp_path, "--json")
    assert status == 0, err
    places = json.loads(out)
    for name in ("figure", "DICOM_series", "metrics", "screenshot", "reconstruction"):
        assert Path(places[name]).exists()
    assert Path(places["screenshot"]).read_bytes().startswith(b"\x89PNG")
    assert places["record"]["metrics"]["psnr"]["volume"] > 20
