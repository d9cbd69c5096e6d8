"""The whole program: usage, exit status, interrupts, and that nothing is half-written."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import recon
from app import cli

ROOT = Path(__file__).resolve().parents[3]
BRAIN = ROOT / "resources" / "demo" / "derived_brain_4ch.h5"


def python(*words, **environment):
    return subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
    )


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
        # Python drops an interrupt that falls into a finaliser; a person presses the keys again.
        while process.poll() is None and time.monotonic() < deadline + 120:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)
        # Where the interrupt falls into code that a library runs from C, Python ends itself by the signal after our
        # sentence, which shells report as 130 too.
        assert process.returncode in (130, -signal.SIGINT)
        assert process.stderr.read().endswith(f"{cli.PROGRAM}: interrupted\n")
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


def test_a_package_that_is_not_installed_is_named(scan, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "recon.export.figure", None)
    monkeypatch.delattr("recon.export.figure", raising=False)  # where another test has imported it
    arguments = ["reconstruct", str(scan), "--model", "zero-filled", "--format", "png", "--out", str(tmp_path)]
    assert cli.main(arguments) == 1
    assert "this needs the Python package recon, which is not installed" in capsys.readouterr().err
