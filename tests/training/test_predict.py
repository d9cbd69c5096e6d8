"""Volumes shared out among processes: who does what, and that nobody can tell from the files."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from app import cli
from recon import phantom
from recon.batch import open_work
from recon.errors import DeviceError, FileError, RequestError
from recon.lock import locked
from training import predict
from training.cluster import Cluster, find_cluster
from training.sharding import share_out

ROOT = Path(__file__).resolve().parents[2]
# What takes time on the clock stands in files of its own.
TIMES = {"timing.csv", "models.csv", "evaluation.json", "parts"}


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Sums over the same number of threads are the same to the last bit."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in list(os.environ):
        if name.startswith(("SLURM_", "TORCHELASTIC")) or name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    for number in range(3):
        spec = phantom.PhantomSpec(n_slices=1 + number, n_coils=3, matrix=(32, 32), seed=number)
        phantom.write(folder / f"head{number}.h5", spec)
    (folder / "bad.h5").write_bytes(b"\x89HDF\r\n\x1a\nno more")
    return folder


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in TIMES}


def command(scans, out, *more):
    words = ["evaluate", scans, "--model", "zero-filled", "--acceleration", 4, "--acceleration", 8, "--coils", 2]
    return [str(word) for word in [*words, "--coils", 3, "--device", "cpu", "--out", out, *more]]


@pytest.fixture(scope="module")
def alone(scans, tmp_path_factory):
    """The files of one process in the test's own."""
    out = tmp_path_factory.mktemp("alone")
    assert cli.main(command(scans, out, "--quiet")) == 2
    return files(out)


def test_two_processes_evaluate_as_one(scans, alone, tmp_path, capfd):
    assert cli.main(command(scans, tmp_path, "--processes", 2)) == 2
    captured = capfd.readouterr()
    assert captured.err.count("bad.h5") == 1
    assert "zero-filled (2 coils)" in captured.out
    assert files(tmp_path) == alone
    parts = {path.name: path.read_text().splitlines() for path in (tmp_path / "parts").iterdir()}
    owners = {name: {json.loads(line)["volume"] for line in lines} for name, lines in parts.items()}
    assert owners == {"part-0000.jsonl": {"bad.h5", "head2"}, "part-0001.jsonl": {"head1", "head0"}}
    # One process goes on where two left off.
    (tmp_path / "parts" / "part-0001.jsonl").unlink()
    (tmp_path / "scores.csv").unlink()
    assert cli.main(command(scans, tmp_path, "--quiet")) == 2
    assert files(tmp_path) == alone


def test_two_processes_reconstruct_as_one(scans, tmp_path, capfd):
    folders, records = [tmp_path / name for name in ("one", "two")], []
    for folder, processes in zip(folders, (1, 2), strict=True):
        words = ["reconstruct", scans, "--model", "zero-filled", "--device", "cpu", "--slices", "0:2", "--json"]
        assert cli.main([str(word) for word in [*words, "--out", folder, "--processes", processes]]) == 0
        records.append(json.loads(capfd.readouterr().out))
    for record in (*records[0], *records[1]):
        assert record.pop("seconds") > 0
    assert records[0] == records[1]
    assert [record["input"] for record in records[0]] == ["head0.h5", "head1.h5", "head2.h5"]
    names = [sorted(path.name for path in folder.iterdir()) for folder in folders]
    assert names[0] == names[1] and len(names[0]) == 6
    for name in names[0]:
        if name.endswith(".h5"):
            with h5py.File(folders[0] / name) as one, h5py.File(folders[1] / name) as two:
                np.testing.assert_array_equal(one["reconstruction"], two["reconstruction"])
                different = {key for key in one.attrs if not np.array_equal(one.attrs[key], two.attrs[key])}
                assert different <= {"seconds"}


def test_a_job_leaves_a_folder_alone_that_another_evaluation_writes_into(scans, tmp_path, capsys, monkeypatch):
    assert cli.main(command(scans, tmp_path, "--plan")) == 0
    words, lock = [str(tmp_path / "evaluation.json")], tmp_path / "evaluation.lock"
    held = []
    monkeypatch.setattr(predict, "run_job", lambda *_, **__: (held.append(lock.exists()), 0))
    monkeypatch.setattr(predict, "_end_with_parent", lambda _: None)
    with locked(lock, "evaluate"):
        assert predict.main(words) == 2
        assert f"in use: process {os.getpid()} on " in capsys.readouterr().err and not held
        # One that `evaluate` started works under its lock, and so do the brothers of the first process.
        assert predict.main([*words, "--progress", str(tmp_path)]) == 0
        monkeypatch.setenv("LOCAL_RANK", "1")
        assert predict.main(words) == 0
        monkeypatch.delenv("LOCAL_RANK")
    assert predict.main(words) == 0
    assert held == [True] * 3 and not lock.exists()


def test_a_process_without_a_volume_waits_for_the_others(scans, tmp_path, capfd):
    words = ["reconstruct", scans / "head0.h5", "--device", "cpu", "--slices", "0", "--processes", 2]
    assert cli.main([str(word) for word in [*words, "--model", "zero-filled", "--out", tmp_path]]) == 0
    captured = capfd.readouterr()
    assert "head0.zero-filled.h5" in captured.out
    assert captured.err.count("K-space is simulated") == 1


@pytest.mark.slow
@pytest.mark.parametrize("starter", ["torchrun", "slurm"])
def test_processes_that_others_started_work_as_one(scans, alone, tmp_path, starter):
    words = command(scans, tmp_path, "--quiet")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    if starter == "torchrun":
        launcher = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--nproc-per-node",
            "2",
            "--master-port",
            free_port(),
        ]
        done = [subprocess.run([*launcher, "-m", "app.cli", *words], env=environment, timeout=500, cwd=ROOT)]
        assert done[0].returncode != 0  # torchrun's own, for the scan that could not be read
    else:
        environment |= {
            "SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "1", "SLURM_NNODES": "1",
            "SLURM_JOB_ID": "4711", "SLURM_JOB_NAME": "evaluate", "SLURM_NODELIST": "localhost", "SLURM_NODEID": "0",
            "MASTER_PORT": free_port(),
        }  # fmt: skip
        started = [
            subprocess.Popen(
                [sys.executable, "-m", "app.cli", *words],
                env=environment | {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)},
                cwd=ROOT,
            )
            for rank in (0, 1)
        ]
        assert [process.wait(500) for process in started] == [2, 0]
    assert files(tmp_path) == alone


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("costs", "n_processes", "shares"),
    [
        ([3, 1, 1, 1], 2, [[0], [1, 2, 3]]),
        ([1, 2, 3, 4], 2, [[0, 3], [1, 2]]),
        ([5, 0, 5], 2, [[0], [2]]),
        ([1], 3, [[0], [], []]),
        ([], 2, [[], []]),
    ],
)
def test_shares_are_even_and_leave_nothing_out(costs, n_processes, shares):
    assert share_out([float(cost) for cost in costs], n_processes) == shares


def test_who_started_this_process(monkeypatch):
    assert find_cluster() is None
    monkeypatch.setenv("SLURM_NTASKS", "4")  # a batch script without srun has no brothers
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert find_cluster() is None
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    monkeypatch.setenv("SLURM_STEP_NUM_NODES", "2")
    assert find_cluster() == Cluster(2, 2, is_external=True)
    monkeypatch.setenv("SLURM_STEP_NUM_NODES", "3")
    with pytest.raises(RequestError, match="ntasks-per-node"):
        find_cluster()
    for name, value in (("TORCHELASTIC_RUN_ID", "x"), ("WORLD_SIZE", "6"), ("LOCAL_WORLD_SIZE", "3")):
        monkeypatch.setenv(name, value)
    assert find_cluster() == Cluster(3, 2, is_external=True)


@pytest.mark.parametrize(
    ("device", "n_gpus", "n_processes", "expected"),
    [
        ("cpu", 8, 2, "cpu"),
        ("auto", 0, 2, "cpu"),
        ("auto", 2, 2, "gpu"),
        ("cuda", 4, 2, "gpu"),
        ("auto", 1, 2, "want a GPU each"),
        ("cuda", 0, 2, "want a GPU each"),
        ("cuda:0", 2, 2, "cannot be shared"),
    ],
)
def test_every_process_has_a_device_of_its_own(monkeypatch, device, n_gpus, n_processes, expected):
    monkeypatch.setattr("torch.cuda.is_available", lambda: n_gpus > 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: n_gpus)
    if expected in ("cpu", "gpu"):
        assert predict.choose_accelerator(device, n_processes) == expected
    else:
        with pytest.raises(DeviceError, match=expected):
            predict.choose_accelerator(device, n_processes)


@pytest.mark.parametrize("text", ["", "[]", '{"kind": "dream"}', '{"paths": []}'])
def test_what_is_no_job_is_refused(tmp_path, text, capsys):
    job = tmp_path / "job.json"
    job.write_text(text)
    with pytest.raises(FileError, match="job"):
        open_work(job)
    assert predict.main([str(job)]) == 2
    assert "job.json" in capsys.readouterr().err
