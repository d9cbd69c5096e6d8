"""Progress, tables and text for people and for pipes."""

import argparse
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from app import output, progress


def test_progress_is_silent_when_piped(capsys, monkeypatch):
    monkeypatch.setattr(progress._Lines, "_SECONDS_BEFORE", 0.0)
    for verbose in (0, 1):
        with progress.Progress.of(argparse.Namespace(quiet=False, verbose=verbose)) as bar:
            bar.update("working", 0.5)
        assert capsys.readouterr().err == verbose * "50 %, working\n"
    with progress.Progress() as bar:
        bar.update("working", 0.5)
    assert capsys.readouterr().err == ""


def test_long_work_writes_a_line_a_minute_into_a_log(capsys, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with progress.Progress(logs=True) as bar:
        for now in range(1000, 1000 + 4 * 60):
            bar.update("slice 3", 0.5 + (now - 1000) / 1000)
    assert capsys.readouterr().err.splitlines() == [
        "53 %, slice 3, 8 min left",
        "59 %, slice 3, 7 min left",
        "65 %, slice 3, 6 min left",
        "71 %, slice 3, 5 min left",
    ]


@pytest.mark.parametrize("words", [{"quiet": True}, {"quiet": False, "json": True}])
def test_a_log_that_nobody_reads_gets_no_lines(words, capsys, monkeypatch):
    monkeypatch.setattr(progress._Lines, "_SECONDS_BEFORE", 0.0)
    with progress.Progress.of(argparse.Namespace(verbose=1, **words)) as bar:
        bar.update("working", 0.5)
    assert capsys.readouterr().err == ""


def test_times_are_said_in_words():
    assert [progress._duration(seconds) for seconds in (42, 2880, 11990)] == ["42 s", "48 min", "3 h 20 min"]


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


def test_stdout_is_kept_for_json(capsys):
    with output.stdout_for_json():
        sys.stdout.write("a plug-in talks\n")
        output.write_json(1)
    sys.stdout.write("later\n")
    assert tuple(capsys.readouterr()) == ("1\nlater\n", "a plug-in talks\n")
