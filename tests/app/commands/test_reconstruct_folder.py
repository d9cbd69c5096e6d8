"""What `reconstruct` leaves in its folder, where others may write too, and what it says of patients."""

from __future__ import annotations

import json

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
    killed, alive, joined = (RunJournal(tmp_path) for _ in range(3))
    lock = killed.folder.with_suffix(".lock")
    killed.append({"key": "0/0"})
    lock.write_text("{}")  # nobody holds it
    name = alive.open()
    assert not killed.folder.exists() and not lock.exists()
    joined.join(name, 1)
    joined.append({"key": "0/1"})
    RunJournal(tmp_path).open()
    assert alive.read() == {"0/1": {"key": "0/1"}}
    alive.remove()
    assert not list(tmp_path.glob(f"{name}*"))


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
