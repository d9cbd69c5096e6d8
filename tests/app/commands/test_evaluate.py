"""The command that compares models: arguments, exit status, what goes where, and going on after an interrupt."""

from __future__ import annotations

import csv
import json
import os
import shutil

import h5py
import numpy as np
import pytest

from app.commands import evaluate
from recon import phantom, pipeline
from recon.errors import DeviceError
from recon.export import box_plot
from recon.lock import locked


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    spec = phantom.PhantomSpec(n_slices=2, n_coils=4, matrix=(32, 32))
    return phantom.write(tmp_path_factory.mktemp("scan") / "head.h5", spec)


@pytest.fixture(autouse=True)
def no_figures(monkeypatch):
    """Figures are drawn in the tests of the tables."""
    monkeypatch.setattr(box_plot, "write", lambda path, *_: path)


def volumes(folder):
    with (folder / "scores.csv").open(newline="") as file:
        return [line for line in csv.DictReader(file) if line["level"] == "volume"]


def test_a_score_that_an_image_is_too_small_for_is_a_dash(run, tmp_path):
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "tiny.h5", "w") as file:
        file["kspace"] = (rng.standard_normal((1, 2, 6, 40)) + 1j * rng.standard_normal((1, 2, 6, 40))).astype("c8")
    status, out, _ = run("evaluate", tmp_path / "tiny.h5", "--model", "zero-filled", "--out", tmp_path / "out")
    assert status == 0
    [line] = [line for line in out.splitlines() if line.startswith("zero-filled")]
    assert "nan" not in out and line.split()[-5] == "–"


def test_models_are_compared(run, scan, tmp_path):
    status, out, err = run(
        "evaluate", scan, "--model", "zero-filled", "--model", "pcrnn-s", "--mask", "random", "--mask", "equispaced",
        "--acceleration", 4, "--acceleration", 8, "--center-fraction", 0.1, "--seed", "1", "--slices", "0",
        "--precision", "fp32", "--device", "cpu", "--grid", "native", "--out", tmp_path,
    )  # fmt: skip
    assert status == 0
    assert err.count("K-space is simulated") == 1 and "error" not in err
    lines = volumes(tmp_path)
    assert len(lines) == 2 * 2 * 2
    assert {line["grid"] for line in lines} == {"native"}
    assert {line["center_fraction"] for line in lines} == {"0.1"}
    assert {line["seed"] for line in lines} == {"1"}
    scores = {(line["method"], line["mask"], line["acceleration"]): float(line["psnr"]) for line in lines}
    assert scores["pcrnn-s", "random", "4"] > scores["zero-filled", "random", "4"]
    assert "pcrnn-s" in out and "PSNR dB" in out and str(tmp_path) in out
    job = json.loads((tmp_path / "evaluation.json").read_text())
    assert job["paths"] == [str(scan)]
    assert job["evaluation"]["accelerations"] == [4, 8]


def test_rows_as_json_and_silence(run, scan, tmp_path):
    words = ["evaluate", scan, "--model", "zero-filled", "--slices", "1", "--seed", "1,2", "--out", tmp_path]
    status, out, _ = run(*words, "--json")
    assert status == 0
    rows = json.loads(out)
    assert [row["seed"] for row in rows] == [1, 2]
    assert rows[0]["slices"] == [1]
    assert rows[0]["whole"]["psnr"]["volume"] == pytest.approx(float(volumes(tmp_path)[0]["psnr"]), abs=1e-5)
    assert run(*words, "--quiet") == (0, "", "")


def test_a_damaged_scan_among_good_ones(run, scan, tmp_path):
    damaged = tmp_path / "damaged.h5"
    shutil.copy(scan, damaged)
    with h5py.File(damaged, "r+") as file:
        file["kspace"][1] = np.inf
    status, out, err = run("evaluate", damaged, scan, "--model", "zero-filled", "--out", tmp_path / "out")
    assert status == 2
    assert next(line for line in err.splitlines() if "error:" in line).count("slice 1") == 1
    assert {line["volume"]: line["status"] for line in volumes(tmp_path / "out")} == {
        "damaged": "failed",
        "head": "done",
    }
    assert "1 row without a score" in out


def test_nothing_scored_is_said_with_its_reason(run, tmp_path):
    (tmp_path / "notes.h5").write_text("no scan")
    status, out, err = run("evaluate", tmp_path / "notes.h5", "--model", "zero-filled", "--out", tmp_path / "out")
    assert status == 2
    assert out.startswith("nothing was scored:\n") and "notes.h5" in out and "1 score missing" in out
    assert "PSNR" not in out and "written to" not in out and str(tmp_path / "out" / "summary.md") in out
    assert err.count("notes.h5") == 1
    # The reasons, and no table without a row.
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_file()} == {
        "evaluation.json",
        "scores.csv",
        "summary.md",
    }


def test_a_device_that_fails_every_volume_is_no_wrong_input(run, scan, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise DeviceError("the GPU has failed.")

    assert run("evaluate", scan, "--model", "zero-filled", "--out", tmp_path)[0] == 0
    (tmp_path / "parts").rename(tmp_path / "earlier")
    monkeypatch.setattr(pipeline.Plan, "run", fail)
    status, out, err = run("evaluate", scan, "--model", "zero-filled", "--out", tmp_path)
    assert status == 1
    assert out.startswith("nothing was scored:\n") and "the GPU has failed" in err
    # Tables of an earlier run would contradict the page beside them.
    assert not list(tmp_path.glob("summary.csv"))


def test_seconds_of_a_mix_are_those_of_all_its_slices(run, scan, tmp_path):
    """One coil group after another: the last one's time must not stand for all."""
    other = phantom.write(tmp_path / "more.h5", phantom.PhantomSpec(n_slices=1, n_coils=6, matrix=(32, 32)))
    words = ["evaluate", scan, other, "--model", "zero-filled", "--device", "cpu", "--out", tmp_path / "out"]
    status, out, _ = run(*words, "--json")
    assert status == 0
    rows = json.loads(out)
    assert [row["n_virtual_coils"] for row in rows] == [4, 6]
    for row, seconds in zip(rows, (2.0, 400.0), strict=True):
        row |= {"seconds": seconds, "peak_memory_gb": None}
    assert evaluate.summary(rows).splitlines()[2].split()[-1] == "134.00"


def test_an_interrupt_leaves_tables_of_what_is_done(run, scan, tmp_path, monkeypatch):
    real, calls = pipeline.Plan.run, []

    def interrupt(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(pipeline.Plan, "run", interrupt)
    words = ["evaluate", scan, "--model", "zero-filled", "--acceleration", 4, "--acceleration", 8, "--out", tmp_path]
    status, _, said = run(*words)
    assert status == 130
    assert said.endswith(f"interrupted; {tmp_path} holds what is done, and the same command goes on.\n")
    assert [line["acceleration"] for line in volumes(tmp_path)] == ["4"]
    assert run(*words)[0] == 0
    assert [line["acceleration"] for line in volumes(tmp_path)] == ["4", "8"]
    assert len(calls) == 3


def test_a_plan_is_a_job_for_many_processes(run, scan, tmp_path):
    status, out, _ = run("evaluate", scan, "--model", "zero-filled", "--out", tmp_path, "--plan")
    assert status == 0
    assert "python -m training.predict" in out
    assert [path.name for path in tmp_path.iterdir()] == ["evaluation.json"]


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["--model", "pcrn-s"], 2, "did you mean pcrnn-s"),
        (["--mask", "spiral"], 2, "spiral"),
        (["--acceleration", "0.5"], 2, "must lie between 1 and"),
        (["--center-fraction", "0.5"], 2, "leaves no samples"),
        (["--slices", "first"], 2, "no list of slices"),
        (["--seed", "1,soon"], 2, "soon"),
        (["--coils", "0"], 2, "virtual coil"),
        (["--coil-study", "4,many"], 2, "no list of coil numbers"),
        (["--processes", "0"], 2, "no number of processes"),
        (["--band-radius", "2"], 2, "between 0 and 1"),
        (["--device", "cuda:99"], 1, "cuda:99"),
        (["--device", "cuda:0", "--processes", "2"], 1, "cannot be shared"),
    ],
)
def test_impossible_evaluations_are_refused_before_the_work(run, scan, tmp_path, monkeypatch, words, status, text):
    monkeypatch.setattr(pipeline.Plan, "run", lambda *_, **__: pytest.fail("the work was begun"))
    model = [] if "--model" in words else ["--model", "zero-filled"]
    found, out, err = run("evaluate", scan, *model, *words, "--out", tmp_path / "out")
    assert (found, out) == (status, "")
    assert text in err
    assert len([line for line in err.splitlines() if "error:" in line]) == 1
    assert not list(tmp_path.glob("out/*"))


def test_a_folder_that_cannot_be_written(run, scan, tmp_path):
    (tmp_path / "file").write_text("in the way")
    status, out, err = run("evaluate", scan, "--model", "zero-filled", "--out", tmp_path / "file")
    assert (status, out) == (1, "")
    assert str(tmp_path / "file") in err


def test_parameters_of_methods(run, scan, tmp_path):
    words = ("evaluate", scan, "--slices", "0", "--maps", "walsh", "--device", "cpu", "--no-masked", "--plan")
    words += ("--model", "zero-filled", "--model", "cs-tv", "--model", "cs-tv:lambda=0.02", "--out", tmp_path)
    assert run(*words, "--set", "lambda=0.3", "--set", "n_iterations=2")[0] == 0
    models = json.loads((tmp_path / "evaluation.json").read_text())["evaluation"]["models"]
    assert models == ["zero-filled", "cs-tv:lambda=0.3,n_iterations=2", "cs-tv:lambda=0.02,n_iterations=2"]
    status, _, err = run(*words, "--set", "mu=3")
    assert status != 0 and "mu" in err


def test_a_folder_that_another_evaluation_writes_into_is_left_alone(run, scan, tmp_path):
    lock = tmp_path / "evaluation.lock"
    with locked(lock, "evaluate"):
        status, _, err = run("evaluate", scan, "--model", "zero-filled", "--out", tmp_path)
        assert status == 2
        assert f"in use: process {os.getpid()} on " in err
        assert not (tmp_path / "summary.md").exists()
    assert run("evaluate", scan, "--model", "zero-filled", "--out", tmp_path)[0] == 0
    assert not lock.exists()


def test_the_table_says_where_methods_were_scored_on_different_volumes(run, scan, tmp_path):
    wide = phantom.write(tmp_path / "wide.h5", phantom.PhantomSpec(n_slices=1, n_coils=2, matrix=(32, 64)))
    words = ["evaluate", scan, wide, "--model", "zero-filled", "--center-fraction", "0.09", "--device", "cpu"]
    _, out, _ = run(*words, "--out", tmp_path / "same")
    assert "not comparable" not in out
    _, out, _ = run(*words, "--model", "cg-sense", "--out", tmp_path / "mixed")
    assert "means over different volumes are not comparable" in out


def test_the_scores_of_another_evaluation_are_left_alone(run, scan, tmp_path):
    words = ["evaluate", scan, "--model", "zero-filled", "--slices", "0", "--device", "cpu", "--out", tmp_path]
    assert run(*words, "--acceleration", 4)[0] == 0
    before = (tmp_path / "scores.csv").read_bytes()
    for more in (["--acceleration", 8, "-q"], ["--acceleration", 8, "--plan"], ["--acceleration", 4, "--no-masked"]):
        status, out, err = run(*words, *more)
        assert (status, out) == (2, "")
        assert f"{tmp_path} holds the scores of another evaluation" in err and "Choose another --out" in err
        assert ("masked: true -> false" if "--no-masked" in more else "accelerations: [4.0] -> [8.0]") in err
        assert (tmp_path / "scores.csv").read_bytes() == before
    assert run(*words, "--acceleration", 8, "--acceleration", 4)[0] == 0
    assert {line["acceleration"] for line in volumes(tmp_path)} == {"4", "8"}


def test_a_larger_evaluation_that_is_killed_leaves_the_earlier_one_in_charge(run, scan, tmp_path, monkeypatch):
    from recon.evaluation_work import EvaluationWork

    words = ["evaluate", scan, "--model", "zero-filled", "--slices", "0", "--device", "cpu", "--out", tmp_path]
    assert run(*words)[0] == 0

    def killed(work):
        raise MemoryError("killed here")

    with monkeypatch.context() as patched:
        patched.setattr(EvaluationWork, "finish", killed)
        assert run(*words, "--acceleration", 4, "--acceleration", 8)[0] != 0
    assert {line["acceleration"] for line in volumes(tmp_path)} == {"4"}
    assert run(*words)[0] == 0
    assert run(*words, "--acceleration", 4, "--acceleration", 8)[0] == 0
    assert run(*words)[0] == 2
