"""The command line: exit status, what goes to stdout and stderr, and that nothing is half-written."""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

import recon
from app import bench, cli, output, progress
from app.commands import doctor, reconstruct
from app.commands.reconstruct import formats, slice_list
from recon import phantom
from recon.batch import SliceList, distinct
from recon.errors import ExportError, RequestError

ROOT = Path(__file__).resolve().parents[2]
BRAIN = ROOT / "resources" / "demo" / "derived_brain_4ch.h5"


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    spec = phantom.PhantomSpec(n_slices=3, n_coils=2, matrix=(64, 64))
    return phantom.write(tmp_path_factory.mktemp("scan") / "head.h5", spec)


@pytest.fixture
def run(capsys):
    """Run the program in this process; returns exit status, stdout, stderr."""

    def call(*words):
        try:
            status = cli.main([str(word) for word in words])
        except SystemExit as ending:
            status = ending.code
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return status, captured.out, captured.err

    return call


def python(*words, **environment):
    return subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
    )


# ---- the whole program --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", sorted(cli.COMMANDS))
def test_every_command_has_help(run, command):
    status, out, err = run(command, "--help")
    assert (status, err) == (0, "")
    assert f"{cli.PROGRAM} {command}" in out
    assert "--json" in out or command == "models"


def test_overview_names_every_command(run):
    status, out, _ = run("--help")
    assert status == 0
    assert all(f"\n  {name} " in out for name in cli.COMMANDS)


def test_version(run):
    assert run("--version") == (0, f"{cli.PROGRAM} {recon.__version__}\n", "")


@pytest.mark.parametrize(
    "words",
    [
        ["reconstruct"],
        ["info"],
        ["models"],
        ["models", "show"],
        ["reconstruct", BRAIN, "--format", "jpeg"],
        ["reconstruct", BRAIN, "--slices", "first"],
        ["reconstruct", BRAIN, "--seed", "soon"],
        ["reconstruct", BRAIN, "--no-such-option"],
        ["bench", "--only", "nothing"],
        ["simulate", BRAIN],
        ["recontruct", BRAIN],
    ],
)
def test_wrong_usage_exits_2_in_two_lines(run, words):
    status, out, err = run(*words)
    assert (status, out) == (2, "")
    assert err.startswith(f"{cli.PROGRAM}: error: ")
    assert len(err.splitlines()) <= 2


def test_misspelt_command_is_not_taken_for_a_file(run):
    assert "did you mean reconstruct?" in run("recontruct", BRAIN)[2]


def test_flags_may_stand_before_the_command(run):
    status, out, _ = run("-v", "models", "list", "--json")
    assert status == 0
    assert json.loads(out)


def test_sub_commands_import_no_qt(tmp_path):
    script = (
        "import sys; from app.cli import main; "
        f"main(['info', {str(BRAIN)!r}, '--json']); main(['models', 'list', '--json']); "
        f"main(['reconstruct', {str(BRAIN)!r}, '--model', 'zero-filled', '--out', {str(tmp_path)!r}, '--json']); "
        "sys.exit(any(name.split('.')[0] in ('PySide6', 'pyqtgraph') for name in sys.modules))"
    )
    done = python("-c", script)
    assert done.returncode == 0, done.stderr


def test_program_works_without_the_packages_of_the_window(tmp_path):
    # A training machine has torch, numpy and h5py, and perhaps nothing else.
    blocked = "PySide6 pyqtgraph qtawesome pydicom matplotlib rich platformdirs skimage scipy safetensors jaxtyping"
    script = (
        "import sys\n"
        f"for name in {blocked.split()}: sys.modules[name] = None\n"
        "from app.cli import main\n"
        f"status = main(['info', {str(BRAIN)!r}]) or main(['reconstruct', {str(BRAIN)!r}, '--model', 'zero-filled', "
        f"'--out', {str(tmp_path)!r}]) or main(['models', 'list'])\n"
        f"status = status or main(['demo', '--out', {str(tmp_path / 'demo')!r}])\n"
        "assert main([]) == 1, 'the window cannot open'\n"
        f"assert main(['reconstruct', {str(BRAIN)!r}, '--model', 'zero-filled', '--format', 'png', "
        f"'--out', {str(tmp_path)!r}]) in (1, 2), 'a figure needs matplotlib'\n"
        "sys.exit(status)"
    )
    done = python("-c", script)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "matplotlib" in done.stderr
    assert (tmp_path / f"{BRAIN.stem}.zero-filled.h5").exists()


def test_interrupt_exits_130(run, monkeypatch):
    def interrupt(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("app.commands.info.run", interrupt)
    assert run("info", BRAIN) == (130, "", f"{cli.PROGRAM}: interrupted\n")


def test_interrupt_leaves_nothing_half_written(tmp_path):
    np.save(tmp_path / "images.npy", np.ones((3000, 64, 64), np.float32))
    out_folder = tmp_path / "out"
    command = [sys.executable, "-m", "app.cli", "simulate", tmp_path / "images.npy", "--coils", "16"]
    with subprocess.Popen(
        [*command, "--out", out_folder / "scan.h5"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        env=os.environ,
        text=True,
        # What starts the tests in the background may have them ignore the signal, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        deadline = time.monotonic() + 120
        while not list(out_folder.glob(".*partial*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read() == f"{cli.PROGRAM}: interrupted\n"
    assert list(out_folder.iterdir()) == []


def test_unexpected_error_is_one_sentence_and_its_traceback_with_v(run, monkeypatch, capsys):
    def fail(arguments):
        raise ZeroDivisionError("nobody thought of this")

    monkeypatch.setattr("app.commands.info.run", fail)
    status, out, err = run("info", BRAIN)
    assert (status, out) == (1, "")
    assert "ZeroDivisionError: nobody thought of this" in err
    assert "-v" in err
    assert len(err.splitlines()) == 2
    assert cli.main(["info", str(BRAIN), "-v"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_closed_pipe_is_no_error_message(tmp_path):
    command = f"{sys.executable} -m app.cli models list --json | head -c 10; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert done.stderr == ""
    assert done.returncode in (0, 1)  # 0 where the text fitted into the pipe


# ---- info ---------------------------------------------------------------------------------------------------------


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


def test_info_reads_every_slice_when_asked(run, scan, tmp_path):
    path = tmp_path / "bad.h5"
    path.write_bytes(scan.read_bytes())
    with h5py.File(path, "r+") as file:
        file["kspace"][2, 0, 3, 4] = np.inf
    assert run("info", path)[0] == 0
    status, _, err = run("info", path, "--check")
    assert status == 2
    assert "slice 2" in err


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


# ---- reconstruct --------------------------------------------------------------------------------------------------


def test_record_and_files_of_a_reconstruction(run, scan, tmp_path):
    status, out, _ = run(
        "reconstruct", scan, "--model", "zero-filled", "--mask", "random", "--acceleration", 4, "--seed", 1,
        "--slices", "0:2", "--stages", "--format", "hdf5,dicom", "--format", "png,nifti", "--out", tmp_path, "--json",
    )  # fmt: skip
    assert status == 0
    [record] = json.loads(out)
    assert record["request"]["model"] == "zero-filled"
    assert record["request"]["mask"] == {
        "kind": "random", "acceleration": 4.0, "center_fraction": None, "seed": 1, "offset": None,
    }  # fmt: skip
    assert len(record["metrics"]["psnr"]["slices"]) == 2
    assert record["metrics"]["psnr"]["volume"] == pytest.approx(
        record["zero_filled_metrics"]["psnr"]["volume"], abs=1e-4
    )
    stem = "head.zero-filled"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"{stem}.dcm", f"{stem}.h5", f"{stem}.json", f"{stem}.nii.gz", f"{stem}.png",
    ]  # fmt: skip
    assert json.loads((tmp_path / f"{stem}.json").read_text()) == record
    assert set(record["files"]) == {f"{stem}{suffix}" for suffix in (".dcm", ".h5", ".nii.gz", ".png")}
    with h5py.File(tmp_path / f"{stem}.h5") as file:
        assert file["reconstruction"].shape == (2, 64, 64)
        assert file["reconstruction"].dtype == np.float32
    assert len(list((tmp_path / f"{stem}.dcm").iterdir())) == 2


def test_summary_for_people(run, scan, tmp_path):
    status, out, _ = run("reconstruct", scan, "--model", "zero-filled", "--out", tmp_path)
    assert status == 0
    assert "PSNR" in out
    assert "head.zero-filled.h5" in out
    assert run("reconstruct", scan, "--model", "zero-filled", "--out", tmp_path, "--quiet")[1:] == ("", "")


def test_failing_volume_does_not_stop_the_others(run, scan, tmp_path):
    bad = tmp_path / "bad.h5"
    bad.write_bytes(scan.read_bytes())
    with h5py.File(bad, "r+") as file:
        file["kspace"][1] = np.nan
    missing = tmp_path / "missing.h5"
    out_folder = tmp_path / "out"
    status, out, err = run("reconstruct", bad, missing, scan, "--model", "zero-filled", "--out", out_folder, "--json")
    assert status == 2
    assert [record["input"] for record in json.loads(out)] == ["head.h5"]
    errors = [line for line in err.splitlines() if "error" in line]
    assert len(errors) == 2
    assert any(str(bad) in line and "slice 1" in line for line in errors)
    assert any(str(missing) in line for line in errors)
    assert sorted(path.name for path in out_folder.iterdir()) == ["head.zero-filled.h5", "head.zero-filled.json"]


def test_volumes_of_one_name_do_not_overwrite_each_other(run, scan, tmp_path):
    other = tmp_path / "other" / scan.name
    other.parent.mkdir()
    other.write_bytes(scan.read_bytes())
    out_folder = tmp_path / "out"
    status, out, _ = run(
        "reconstruct", scan, other, "--model", "zero-filled", "--slices", 0, "--out", out_folder, "--json"
    )
    assert status == 0
    assert [record["name"] for record in json.loads(out)] == ["head.zero-filled", "head-2.zero-filled"]
    assert {path.name for path in out_folder.glob("*.h5")} == {"head.zero-filled.h5", "head-2.zero-filled.h5"}


def test_reconstruction_again_replaces_the_files(run, scan, tmp_path):
    words = ["reconstruct", scan, "--model", "zero-filled", "--format", "hdf5,dicom", "--out", tmp_path, "--slices"]
    assert run(*words, "0:3")[0] == 0
    assert run(*words, "1")[0] == 0
    with h5py.File(tmp_path / "head.zero-filled.h5") as file:
        assert file["reconstruction"].shape[0] == 1
    assert len(list((tmp_path / "head.zero-filled.dcm").iterdir())) == 1
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["--center-fraction", "0.5", "--acceleration", "4"], 2, "leaves no samples"),
        (["--acceleration", "0.5"], 2, "must lie between 1 and"),
        (["--mask", "spiral"], 2, "spiral"),
        (["--mask", "file:nowhere.npy"], 2, "nowhere.npy"),
        (["--model", "pcrn-s"], 2, "did you mean pcrnn-s"),
        (["--model", "nowhere.safetensors"], 2, "nowhere.safetensors"),
        (["--slices", "7"], 2, "slices 0 to 2"),
        (["--slices", "5:9"], 2, "names none"),
        (["--coils", "0"], 2, "virtual coil"),
        (["--device", "abacus"], 2, "device 'abacus' is unknown; choose auto, cpu"),
        (["--device", "meta"], 2, "device 'meta' is not supported"),
        (["--device", "cuda:99"], 1, "cuda:99"),
        (["--seed", "-3"], 2, "-3"),
    ],
)
def test_impossible_requests_are_refused_in_a_sentence(run, scan, tmp_path, words, status, text):
    model = [] if "--model" in words else ["--model", "zero-filled"]
    found, out, err = run("reconstruct", scan, *model, *words, "--out", tmp_path / "out")
    assert (found, out) == (status, "")
    assert text in err
    assert len([line for line in err.splitlines() if "error:" in line]) == 1
    assert not list(tmp_path.glob("out/*"))


def test_folder_that_cannot_be_written_is_refused_before_the_work(run, scan, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(recon.pipeline, "run", lambda *_, **__: pytest.fail("the work was begun"))
    status, out, err = run("reconstruct", scan, "--model", "zero-filled", "--out", tmp_path / "file")
    assert (status, out) == (1, "")
    assert str(tmp_path / "file") in err


def test_full_disk_is_said_and_leaves_nothing(run, scan, tmp_path, monkeypatch):
    from recon.export import hdf5

    def full(result, path, **_):
        raise ExportError(f"{path}: the disk is full.")

    monkeypatch.setattr(hdf5, "write", full)
    status, _, err = run("reconstruct", scan, "--model", "zero-filled", "--out", tmp_path)
    assert status == 1
    assert "the disk is full" in err
    assert list(tmp_path.iterdir()) == []


def test_mask_from_a_file(run, scan, tmp_path):
    mask = np.zeros(64, bool)
    mask[24:40] = True
    np.save(tmp_path / "mask.npy", mask)
    status, out, _ = run(
        "reconstruct",
        scan,
        "--model",
        "zero-filled",
        "--mask",
        f"file:{tmp_path / 'mask.npy'}",
        "--out",
        tmp_path,
        "--json",
    )
    assert status == 0
    assert json.loads(out)[0]["sampling"]["effective_acceleration"] == 4


@pytest.mark.parametrize(
    ("text", "indices"),
    [
        ("0:10", (0, 1, 2, 3, 4)),
        ("3", (3,)),
        ("-1", (4,)),
        ("4,0,2:4", (4, 0, 2, 3)),
        ("::2", (0, 2, 4)),
        ("1,1,0:2", (1, 0)),
    ],
)
def test_slice_lists(scan, text, indices):
    series = recon.open_study(phantom.write(scan.with_name("five.h5"), phantom.PhantomSpec(5, 1, (32, 32)))).series[0]
    assert SliceList(text).resolve(series) == indices


@pytest.mark.parametrize("text", ["", "a", "1:b", "1:2:3:4", "0:4:0", "1,,2"])
def test_what_is_no_slice_list(text):
    with pytest.raises(argparse.ArgumentTypeError, match="no list of slices"):
        slice_list(text)


def test_single_slice_must_exist(scan):
    with pytest.raises(RequestError, match="does not exist"):
        SliceList("3").resolve(recon.open_study(scan).series[0])


@pytest.mark.parametrize(
    ("names", "result"),
    [
        (["a", "b"], ["a", "b"]),
        (["a", "a", "a"], ["a", "a-2", "a-3"]),
        (["a", "a", "a-2"], ["a", "a-3", "a-2"]),
        (["Scan", "scan"], ["Scan", "scan-2"]),
    ],
)
def test_distinct_names(names, result):
    assert distinct(names) == result


def test_formats_have_short_names():
    assert formats("h5, DCM,png") == ["hdf5", "dicom", "png"]
    assert set(reconstruct.FORMATS) == set(recon.result.FORMATS)


# ---- export -------------------------------------------------------------------------------------------------------


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


# ---- models -------------------------------------------------------------------------------------------------------


@pytest.fixture
def weights_file(tmp_path):
    from recon import models, weights

    model = models.create("pcrnn-1x", 1)
    story = {"preset": "pcrnn-1x", "n_coils": 1, "parameters": {}, "data": "random numbers"}
    story["parameters"] = dict(models.get_card("pcrnn-1x").parameters_for(1))
    return weights.save(tmp_path / "mine.safetensors", model.state_dict(), story).path


def test_models_are_listed(run):
    status, out, _ = run("models", "list")
    assert status == 0
    for name in ("zero-filled", "pcrnn-s", "oucr"):
        assert f"\n{name} " in out
    cards = json.loads(run("models", "list", "--json")[1])
    assert {"name", "title", "paper", "parameters", "weights", "available"} <= cards[0].keys()


def test_model_is_shown(run):
    status, out, _ = run("models", "show", "oucr")
    assert status == 0
    assert "OUCR" in out
    assert "parameters" in out
    assert "hard, what was measured stays" in out
    assert json.loads(run("models", "show", "pcrnn", "--json")[1])["name"] == "pcrnn-s"
    status, _, err = run("models", "show", "ourc")
    assert status == 2
    assert "did you mean oucr" in err


def test_weights_are_installed_and_verified(run, weights_file):
    status, out, _ = run("models", "install", weights_file, "--json")
    assert status == 0
    installed = Path(json.loads(out)["installed"])
    assert installed.read_bytes() == weights_file.read_bytes()
    assert "ready" in next(line for line in run("models", "list")[1].splitlines() if line.startswith("pcrnn-1x "))
    status, out, _ = run("models", "verify", installed)
    assert status == 0
    assert out.startswith("ok")
    assert run("models", "install", installed)[0] == 0
    assert installed.exists()


def test_damaged_weights_are_neither_installed_nor_verified(run, weights_file):
    content = bytearray(weights_file.read_bytes())
    content[-1] ^= 1
    weights_file.write_bytes(content)
    status, out, err = run("models", "install", weights_file)
    assert (status, out) == (2, "")
    assert "SHA-256" in err
    assert not any(str(path).endswith(".safetensors") for path in recon.weights.user_folder().glob("*"))
    status, out, _ = run("models", "verify", weights_file, "--json")
    assert status == 2
    assert json.loads(out)[0]["ok"] is False


def test_bundled_weights_are_whole(run):
    status, out, _ = run("models", "verify", "--json")
    assert (status, [item["file"] for item in json.loads(out) if not item["ok"]]) == (0, [])


# ---- simulate -----------------------------------------------------------------------------------------------------


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
    first = out_file.read_bytes()
    assert run(*words)[0] == 0
    with h5py.File(out_file) as again:
        assert np.array_equal(series.source.kspace(1), again["kspace"][1])
    assert len(first) == out_file.stat().st_size
    reference = series.source.reference(0)
    inside = picture() > 0
    assert np.corrcoef(reference[inside], picture()[inside])[0, 1] > 0.5


def test_pictures_become_slices(run, tmp_path):
    from PIL import Image

    for name in ("a.png", "b.png"):
        Image.fromarray(picture().astype(np.uint8)).save(tmp_path / name)
    status, out, _ = run("simulate", tmp_path / "a.png", tmp_path / "b.png", "--out", tmp_path / "scan.h5", "--json")
    assert status == 0
    assert json.loads(out)["shape"] == [2, 4, 48, 40]


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


# ---- demo, doctor, bench ------------------------------------------------------------------------------------------


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


def test_doctor_finds_this_installation_healthy(run):
    status, out, _ = run("doctor", "--json")
    report = json.loads(out)
    assert status == 0
    assert report["healthy"]
    found = {finding["name"]: finding for finding in report["findings"]}
    assert found["torch"]["verdict"] == "ok"
    assert {"cpu", "platform", "temporary", "dciodvfy", "bart", "plug-ins"} <= found.keys()
    status, out, _ = run("doctor")
    assert status == 0
    assert out.rstrip().endswith("Ready.")


def test_a_wrong_folder_for_bart_is_told_and_hides_nothing_else(run, monkeypatch, tmp_path):
    monkeypatch.setenv("BART_TOOLBOX_PATH", str(tmp_path / "nowhere"))
    status, out, _ = run("doctor", "--json")
    found = {finding["name"]: finding for finding in json.loads(out)["findings"]}
    assert (status, found["bart"]["verdict"]) == (1, "broken")
    assert f"$BART_TOOLBOX_PATH is {tmp_path / 'nowhere'}, which does not exist" in found["bart"]["value"]
    assert found["dciodvfy"]["verdict"] in ("ok", "note")
    status, out, _ = run("models", "list", "--json")
    cards = {card["name"]: card for card in json.loads(out)}
    assert status == 0
    assert "which does not exist" in cards["cs-bart"]["problem"]
    assert cards["cs-tv"]["available"]


def test_doctor_names_the_packages_of_missing_libraries(run, monkeypatch):
    monkeypatch.setattr(doctor, "missing_libraries", lambda *_: {"libEGL.so.1", "libxkbcommon.so.0"})
    status, out, _ = run("doctor")
    assert status == 1
    assert "sudo apt-get install libegl1 libxkbcommon0" in out


def test_doctor_reads_ldd(monkeypatch, tmp_path):
    (tmp_path / "QtWidgets.abi3.so").write_bytes(b"")
    answer = "\tlibEGL.so.1 => not found\n\tlibc.so.6 => /lib/libc.so.6 (0x0)\n"
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(doctor.platform, "system", lambda: "Linux")
    monkeypatch.setattr(doctor.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, answer, ""))
    assert doctor.missing_libraries(tmp_path, "offscreen") == {"libEGL.so.1"}


def test_doctor_reports_broken_weights(run, weights_file):
    folder = recon.weights.user_folder()
    folder.mkdir(parents=True)
    (folder / "broken.safetensors").write_bytes(weights_file.read_bytes()[:-10])
    status, out, _ = run("doctor", "--json")
    assert status == 1
    [finding] = [item for item in json.loads(out)["findings"] if item["name"] == "broken.safetensors"]
    assert finding["verdict"] == "broken"


def test_doctor_makes_every_plugin_to_find_those_whose_card_promises_too_much(run, monkeypatch):
    empty = recon.models.ModelCard(
        name="mine", title="Mine", family="recon.errors:Mine", group="Examples", paper="None", summary="Nothing.",
        needs_training=False, source="mine 1.0",
    )  # fmt: skip
    monkeypatch.setattr(recon.models, "_cards", lambda: {"mine": empty})
    status, out, _ = run("doctor", "--json")
    [finding] = [item for item in json.loads(out)["findings"] if item["section"] == "plug-ins"]
    assert (status, finding["verdict"]) == (1, "broken")
    assert "recon.errors has no class Mine" in finding["value"]


def test_bench_measures_coil_compression(run):
    status, out, _ = run("bench", "--quick", "--json", "--only", "compression")
    assert status == 0
    [row] = json.loads(out)
    assert row["value"] > 0
    assert row["ratio"] > 0
    assert {"name", "value", "unit", "anchor", "ratio", "goal", "met"} <= row.keys()


def test_bench_goes_on_after_a_measurement_that_failed(run, monkeypatch):
    def measure(name, *, quick):
        if name == "window":
            raise recon.errors.MRIError("the window did not open")
        return [bench.Row(name, 1.0, "s", goal="none", met=None)]

    monkeypatch.setattr(bench, "measure", measure)
    status, out, err = run("bench")
    assert status == 1
    assert "the window did not open" in err
    assert all(name in out for name in bench.MEASUREMENTS if name != "window")


# ---- progress and output ------------------------------------------------------------------------------------------


def test_progress_is_silent_when_piped(capsys):
    with progress.Progress() as bar:
        bar.update("working", 0.5)
    assert capsys.readouterr().err == ""


def test_progress_without_rich(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    with progress.Progress(enabled=True) as bar:
        bar.update("working", 0.5)
    err = capsys.readouterr().err
    assert "working  50%" in err
    assert "s left" in err
    assert err.endswith("\r")


def test_progress_with_rich_goes_to_stderr(capsys):
    with progress.Progress(enabled=True) as bar:
        bar.update("working", 0.5)
    assert capsys.readouterr().out == ""


def test_json_has_no_nan(capsys):
    output.write_json(
        {"a": float("nan"), "b": (np.float32(1.5), np.int64(2)), "c": Path("x"), "d": np.array([1.0, np.inf])}
    )
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [1.5, 2], "c": "x", "d": [1.0, None]}


def test_table_sets_numbers_flush_right():
    assert output.table([("a", "1.5"), ("bb", "10")], ("name", "value")).splitlines() == [
        "name  value",
        "────  ─────",
        "a       1.5",
        "bb       10",
    ]


def test_text_that_the_locale_cannot_spell_is_no_failure():
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "app.cli", "models", "list"]
    for words in (command, [*command, "--json"]):
        done = subprocess.run(words, capture_output=True, env=environment, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.isascii() and b"pcrnn-s" in done.stdout
    assert json.loads(done.stdout)


def test_a_closed_stdout_is_no_failure():
    command = f"{shlex.quote(sys.executable)} -m app.cli models list >&-"
    done = subprocess.run(command, shell=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_package_that_is_not_installed_is_named(scan, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "recon.export.figure", None)
    monkeypatch.delattr("recon.export.figure", raising=False)  # where another test has imported it
    arguments = ["reconstruct", str(scan), "--model", "zero-filled", "--format", "png", "--out", str(tmp_path)]
    assert cli.main(arguments) == 1
    assert "this needs the Python package recon, which is not installed" in capsys.readouterr().err
