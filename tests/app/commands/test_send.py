"""`send`: DICOM files to a PACS, with a report on each, an exit status, and an end in good time."""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from app.commands.send import add_arguments
from app.commands.send import run as run_command
from recon.export.pacs import Report

ROOT = Path(__file__).resolve().parents[3]


def test_everything_stored_is_one_line(run, start_pacs, write_instances, tmp_path):
    server = start_pacs()
    write_instances(tmp_path / "head.model.dcm", 3)
    (tmp_path / "head.model.json").write_text("{}")
    status, out, err = run("send", tmp_path, "--to", server.destination)
    assert (status, err) == (0, "")
    assert out == f"3 instances stored at {server.destination}; 1 other file passed over\n"
    assert len(server.received) == 3
    assert run("send", tmp_path, "--to", server.destination, "--quiet") == (0, "", "")


def test_what_reconstruct_wrote_is_sent(run, scan, start_pacs, tmp_path):
    server = start_pacs()
    words = ["--model", "zero-filled", "--slices", "0:2", "--format", "dicom,hdf5", "--out", tmp_path, "-q"]
    assert run("reconstruct", scan, *words)[0] == 0
    status, out, _ = run("send", tmp_path, "--to", server.destination, "--from", "ME")
    assert (status, out) == (0, f"2 instances stored at {server.destination}; 2 other files passed over\n")
    assert server.callers == ["ME"]


def test_each_instance_that_is_not_stored_cleanly_has_a_line(run, start_pacs, write_instances, tmp_path):
    server = start_pacs(lambda number, _: {1: 0xB000, 2: 0xA700}.get(number, 0))
    files = write_instances(tmp_path, 4)
    status, out, err = run("send", tmp_path, "--to", server.destination)
    assert status == 1
    assert out.splitlines() == [
        f"{files[0]}: stored with a warning (0xB000): it changed elements of the data set",
        f"{files[1]}: refused (0xA700): it is out of resources, such as room on its disk",
    ]
    summary = f"3 of 4 instances stored at {server.destination} (1 with a warning), 1 refused"
    assert err == f"mri-workstation: error: {summary}\n"


def test_a_warning_is_no_failure(run, start_pacs, write_instances, tmp_path):
    server = start_pacs(lambda *_: 0xB000)
    write_instances(tmp_path, 1)
    status, out, err = run("send", tmp_path, "--to", server.destination)
    assert (status, err) == (0, "")
    assert out.splitlines()[-1] == f"1 instance stored at {server.destination} (1 with a warning)"


def test_a_damaged_file_does_not_stop_the_others(run, start_pacs, write_instances, tmp_path):
    server = start_pacs()
    files = write_instances(tmp_path, 3)
    files[1].write_bytes(files[1].read_bytes()[:-7])
    status, out, err = run("send", *files, "--to", server.destination)
    assert status == 2
    assert len(server.received) == 2
    assert out.startswith(f"{files[1]}: not sent: the file is cut off")
    assert err == f"mri-workstation: error: 2 of 3 instances stored at {server.destination}, 1 not sent\n"


def test_json_lists_every_instance_and_the_summary(run, start_pacs, write_instances, tmp_path):
    server = start_pacs(lambda number, _: 0xC001 if number == 2 else 0)
    files = write_instances(tmp_path, 3)
    files[2].write_bytes(files[2].read_bytes()[:-7])
    (tmp_path / "record.json").write_text("{}")
    status, out, _ = run("send", tmp_path, "--to", server.destination, "--json")
    assert status == 2
    written = json.loads(out)
    assert (written["destination"], written["calling"]) == (server.destination, "MRIWS")
    assert [(Path(one["path"]), one["state"], one["status"]) for one in written["instances"]] == [
        (files[0], "stored", "0x0000"),
        (files[1], "refused", "0xC001"),
        (files[2], "not sent", None),
    ]
    assert written["instances"][0]["sop_instance_uid"] in server.received
    assert written["instances"][0]["comment"] == ""
    assert "cannot understand" in written["instances"][1]["comment"]
    assert written["summary"] == {
        "instances": 3, "stored": 1, "stored_with_a_warning": 0, "refused": 1, "not_sent": 1, "passed_over": 1,
    }  # fmt: skip


def test_a_rejected_association_says_what_to_do(run, start_pacs, write_instances, tmp_path):
    where = start_pacs().destination.replace("PACS@", "OTHER@")
    write_instances(tmp_path, 2)
    status, out, err = run("send", tmp_path, "--to", where)
    assert (status, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert "AE title OTHER is not recognised" in err and "knows MRIWS" in err
    status, out, _ = run("send", tmp_path, "--to", where, "--json")
    assert status == 1
    assert [one["state"] for one in json.loads(out)["instances"]] == ["not sent", "not sent"]


def test_a_pacs_that_is_not_there_is_an_error_of_one_line(run, no_pacs, silent_pacs, write_instances, tmp_path):
    write_instances(tmp_path, 1)
    for where, word in ((no_pacs, "nothing listens"), (silent_pacs, "gives no answer")):
        for words in (["--verify"], [tmp_path]):
            status, out, err = run("send", "--to", where, "--timeout", "0.4", *words)
            assert (status, out) == (1, "")
            assert len(err.splitlines()) == 1 and word in err, err


def test_verify_asks_and_sends_nothing(run, start_pacs):
    server = start_pacs()
    status, out, err = run("send", "--to", server.destination, "--verify")
    assert (status, err) == (0, "")
    assert out.startswith(f"{server.destination} answers MRIWS (")
    status, out, _ = run("send", "--to", server.destination, "--verify", "--json", "--from", "ME")
    assert json.loads(out)["calling"] == "ME"
    assert (server.received, server.callers) == ({}, ["MRIWS", "ME"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["."], "--to"),
        ([".", "--to", "host:104"], "AET@HOST:PORT"),
        ([".", "--to", "PACS@host:70000"], "65535"),
        ([".", "--to", "PACS@host:104", "--from", "A\\B"], "AE title"),
        ([".", "--to", "PACS@host:104", "--timeout", "soon"], "no time"),
        ([".", "--to", "PACS@host:104", "--timeout", "0"], "no time"),
        (["--to", "PACS@host:104"], "nothing to send"),
        ([".", "--to", "PACS@host:104", "--verify"], "leave the paths out"),
        (["missing.dcm", "--to", "PACS@host:104"], "missing.dcm: there is no such file"),
        ([ROOT / "app" / "dialogs", "--to", "PACS@host:104"], "dialogs: holds no DICOM file to send"),
    ],
)
def test_wrong_usage_is_status_2(run, words, said):
    status, out, err = run("send", *words)
    assert (status, out) == (2, "")
    assert said in err and len(err.splitlines()) <= 2


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_says_what_was_stored(start_pacs, write_instances, tmp_path, number, status):
    second, end = threading.Event(), threading.Event()

    def answer(count, _):
        if count == 2:
            second.set()
            end.wait(60)
        return 0

    server = start_pacs(answer)
    write_instances(tmp_path, 3)
    command = [sys.executable, "-m", "app.cli", "send", str(tmp_path), "--to", server.destination, "--json"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    try:
        with subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # What starts the tests in the background may have them ignore the signal, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        ) as process:
            assert second.wait(60)
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
    finally:
        end.set()
    assert process.returncode == status
    assert len(err.splitlines()) == 1 and "; stored 1 of 3 instances" in err, err
    assert [one["state"] for one in json.loads(out)["instances"]] == ["stored", "not sent", "not sent"]


def test_an_interrupt_between_two_instances_ends_the_association_at_once(write_instances, tmp_path, monkeypatch):
    ends = []

    def reports(instances, *_, **__):
        try:
            for one in instances:
                yield Report(one.path, one.sop_instance_uid, "stored", 0)
        finally:
            ends.append(True)

    def interrupt(_progress, text, _share):
        if text.startswith("sending"):
            raise KeyboardInterrupt

    write_instances(tmp_path, 2)
    monkeypatch.setattr("app.commands.send.send", reports)
    monkeypatch.setattr("app.progress.Progress.update", interrupt)
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    arguments = parser.parse_args([str(tmp_path), "--to", "PACS@host:104"])
    arguments.quiet = True
    # The traceback that is kept here keeps the generator, too.
    with pytest.raises(KeyboardInterrupt, match="stored 1 of 2 instances") as caught:
        run_command(arguments)
    assert ends == [True]
    del caught
