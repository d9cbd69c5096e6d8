"""``--set`` and ``--maps``: what the window's form sets, set from the command line."""

import json
from pathlib import Path

import h5py
import pytest

from app import cli
from recon import phantom
from recon.export import stored


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    spec = phantom.PhantomSpec(n_slices=1, n_coils=2, matrix=(96, 96))
    return phantom.write(tmp_path_factory.mktemp("scan") / "head.h5", spec)


@pytest.fixture
def reconstruct(capsys, scan, tmp_path):
    """Reconstruct the scan; returns exit status, the records by model, stderr."""

    def call(*words):
        try:
            status = cli.main(["reconstruct", str(scan), "--out", str(tmp_path), "--json", *map(str, words)])
        except SystemExit as ending:
            status = ending.code
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        records = json.loads(captured.out) if captured.out else []
        return status, {record["request"]["model"]: record for record in records}, captured.err

    return call


def test_a_method_gets_what_it_has_and_the_record_says_so(reconstruct):
    status, records, _ = reconstruct(
        "--model",
        "cs-tv",
        "--model",
        "zero-filled",
        "--set",
        "lambda=0.02",
        "--set",
        "n_iterations=10",
        "--maps",
        "walsh",
    )
    assert status == 0
    assert records["cs-tv"]["request"]["overrides"] == {"lambda_": 0.02, "n_iterations": 10}
    assert records["cs-tv"]["request"]["maps"] == "walsh"
    assert records["zero-filled"]["request"]["overrides"] == {}


def test_what_a_method_chose_for_the_scan_is_recorded(reconstruct, scan, tmp_path, capsys):
    with h5py.File(scan, "r+") as file:
        acquisition = file.attrs["acquisition"]
        file.attrs["acquisition"] = "AXT1PRE"
    words = ("--model", "cs-tv", "--model", "zero-filled", "--set", "n_iterations=3")
    status, records, _ = reconstruct(*words)
    cli.main(["reconstruct", str(scan), "--out", str(tmp_path), *words])
    text = capsys.readouterr().out
    with h5py.File(scan, "r+") as file:
        file.attrs["acquisition"] = acquisition
    assert status == 0
    record = records["cs-tv"]
    assert record["request"]["overrides"] == {"n_iterations": 3}
    assert record["parameters"] == {"lambda_": 0.001, "n_iterations": 3, "tolerance": 1e-6}
    table = "fastMRI's table: AXT1PRE, an array, 4x"
    assert record["parameter_origins"] == {"lambda_": table, "n_iterations": "set by the user"}
    assert records["zero-filled"]["parameters"] == records["zero-filled"]["parameter_origins"] == {}
    assert f"head.h5, cs-tv: lambda 0.001 ({table})" in text
    path = tmp_path / "head.cs-tv.h5"
    with h5py.File(path) as file:
        assert json.loads(file.attrs["parameters"])["lambda_"] == 0.001
        assert json.loads(file.attrs["parameter_origins"])["lambda_"] == table
    found = stored.read(path)
    assert found.parameter_text == f"lambda 0.001 ({table}), n_iterations 3 (set by the user), tolerance 1e-06"


def test_a_parameter_changes_the_image(reconstruct):
    _, weak, _ = reconstruct("--model", "cs-tv", "--set", "lambda=0", "--set", "n_iterations=20")
    _, strong, _ = reconstruct("--model", "cs-tv", "--set", "lambda_=0.5", "--set", "n_iterations=20")
    assert weak["cs-tv"]["metrics"]["nmse"]["volume"] != strong["cs-tv"]["metrics"]["nmse"]["volume"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", "cs-tv", "--set", "lambda=1e30"], "lambda is 1e+30; it must be 0 to 1e+06"),
        (["--model", "cg-sense", "--set", "lambda=1e300"], "lambda is 1e+300; it must be 0 to 1e+06"),
        (["--model", "cs-tv", "--set", "lambda=-1"], "lambda is -1.0; it must be 0 to 1e+06"),
        (["--model", "cs-tv", "--set", "n_iterations=many"], "n_iterations is 'many'; give a whole number."),
        (
            ["--model", "cs-tv", "--set", "lamda=1"],
            "cs-tv cannot be given such a parameter; what can be set is lambda, n_iterations, tolerance.",
        ),
        (["--model", "cs-tv", "--set", "lambda=abc"], "error: lambda is 'abc'; give a number, or nothing."),
        (["--model", "pcrnn", "--set", "n_iterations=3"], "trained weights have theirs"),
        (["--model", "cs-tv", "--set", "lambda"], "'lambda' sets nothing; write NAME=VALUE"),
        (["--model", "cs-tv", "--maps", "guess"], "invalid choice: 'guess'"),
    ],
)
def test_what_cannot_be_set_is_refused_before_the_work(reconstruct, tmp_path, words, said):
    status, records, err = reconstruct(*words)
    assert (status, records) == (2, {})
    assert said in err
    assert not list(Path(tmp_path).glob("*.h5"))


def test_show_lists_what_can_be_set(capsys):
    assert cli.main(["models", "show", "cs-tv"]) == 0
    shown = capsys.readouterr().out
    assert "reconstruct --set NAME=VALUE" in shown
    assert "Limit of the iterations." in shown
    assert cli.main(["models", "show", "pcrnn-s"]) == 0
    assert "--set" not in capsys.readouterr().out
