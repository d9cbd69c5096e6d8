"""What opening an ISMRMRD file costs, and what is known of it then: its slices are read later, from the same file."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc

import h5py
import numpy as np
import pytest

import recon
from recon.errors import FileError
from recon.io.hdf5 import heaps, rows


def test_opening_reads_headers_and_a_few_lines(scan, write_raw, monkeypatch, only) -> None:
    found, xml, _ = scan
    path, taken = write_raw(found, xml), []
    read = heaps.Samples.read

    def counted(self, address, number, n_bytes):
        taken.append(n_bytes)
        return read(self, address, number, n_bytes)

    def never(*arguments, **keywords):
        pytest.fail("the library was asked for rows")

    monkeypatch.setattr(heaps.Samples, "read", counted)
    monkeypatch.setattr(h5py.Dataset, "__getitem__", never)
    series = only(recon.open_study(path))
    assert len(taken) <= 2
    series.read(1)
    assert len(taken) <= 2 + 2 * 20  # the lines of that slice alone, for its k-space and for its reference


@pytest.mark.parametrize("chunks", [(1,), (512,)])
def test_opening_a_hundred_thousand_acquisitions_reads_a_few_lines_of_each_series(
    readout, raw_header, write_raw, noise, monkeypatch, chunks
) -> None:
    """Of 20 repetitions: headers are many, and read once, without the library; samples are not looked at."""
    path = write_raw([readout(noise(2, 8))], raw_header((8, 100)), chunks=chunks)
    with h5py.File(path, "r+") as file:
        table = file["dataset/data"]
        row = np.repeat(table[:], 10_000)
        table.resize((100_000,))
        for part in range(10):
            number = part * 10_000 + np.arange(10_000)
            row["head"]["idx"]["kspace_encode_step_1"] = number % 100
            row["head"]["idx"]["slice"] = number // 100 % 50
            row["head"]["idx"]["repetition"] = number // 5000
            table[part * 10_000 : (part + 1) * 10_000] = row
    calls = {"tables": 0, "lines": 0}

    def counted(name, function):
        def call(*arguments):
            calls[name] += 1
            return function(*arguments)

        return call

    def never(*arguments):
        pytest.fail("the library was asked for rows")

    monkeypatch.setattr(rows, "read", counted("tables", rows.read))
    monkeypatch.setattr(heaps.Samples, "read", counted("lines", heaps.Samples.read))
    monkeypatch.setattr(h5py.Dataset, "__getitem__", never)
    study = recon.open_study(path)
    assert len(study.series) == 20 and study.series[3].n_slices == 50
    assert calls == {"tables": 1, "lines": 2 * 20}


@pytest.mark.parametrize("keywords", [{"chunks": (1,)}, {"chunks": (512,)}, {"chunks": (512,), "compression": "gzip"}])
def test_opening_holds_the_table_about_twice(readout, raw_header, write_raw, noise, monkeypatch, keywords) -> None:
    """As it lies in the file, and by the names that its fields have here."""
    monkeypatch.setattr(rows, "_MAX_RUN_BYTES", 2**17)
    path = write_raw([readout(noise(2, 8))], raw_header((8, 100)), **keywords)
    with h5py.File(path, "r+") as file:
        table = file["dataset/data"]
        row = np.repeat(table[:], 20_000)
        row["head"]["idx"]["kspace_encode_step_1"] = np.arange(20_000) % 100
        row["head"]["idx"]["slice"] = np.arange(20_000) // 100
        table.resize((20_000,))
        table[:] = row
        n_bytes = 20_000 * table.id.get_type().get_size()
    recon.open_study(path)  # whatever is loaded with the first file
    tracemalloc.start()
    try:
        series = recon.open_study(path).series
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert series[0].n_slices == 200
    assert peak < 2.7 * n_bytes, peak / n_bytes


def test_file_is_closed_between_calls_and_watched(scan, write_raw, only) -> None:
    found, xml, _ = scan
    path = write_raw(found, xml)
    series = only(recon.open_study(path))
    series.read(0)
    with h5py.File(path, "r+") as file:  # would fail while someone reads
        file.attrs["more"] = "x" * 1000
    with pytest.raises(FileError, match="was changed since it was opened; open it again"):
        series.read(1)
    path.unlink()
    with pytest.raises(FileError, match="is not there; bring it back"):
        series.read(1)


def test_opening_does_not_load_torch(scan, write_raw) -> None:
    path = write_raw(*scan[:2])
    script = f"import sys, recon; recon.open_study({str(path)!r}); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_scans_of_one_name_are_told_apart(readouts, raw_header, write_raw, noise, only) -> None:
    paths = [
        write_raw(readouts(noise(1, 2, 32, 20, seed=seed)), raw_header((32, 20)), name=f"{seed}.h5")
        for seed in range(2)
    ]
    first, second = (only(recon.open_study(path)).fingerprint for path in paths)
    assert first and second and first != second
    moved = only(recon.open_study(paths[0].rename(paths[0].with_name("moved.h5"))))
    assert moved.fingerprint == first
