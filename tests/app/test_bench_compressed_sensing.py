"""The rows of compressed sensing compare with BART, and say why they do not where there is none."""

from __future__ import annotations

import pytest
import torch

from app.bench import compressed_sensing as bench
from recon import programs


@pytest.fixture(autouse=True)
def small_scan(monkeypatch):
    """A scan that takes no time, on as many threads as the other tests have."""
    monkeypatch.setattr(bench, "_MATRIX", (128, 128))
    monkeypatch.setattr(bench, "_N_CALIBRATION", 10)  # with fewer, the maps are empty
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)  # noqa: ARG005


def test_rows_without_bart_name_the_reason(monkeypatch):
    monkeypatch.setattr(programs, "find", lambda name: None)  # noqa: ARG005
    rows = bench.measure_compressed_sensing(quick=True)
    assert [row.met for row in rows] == [None, None]
    assert all(row.value > 0 and row.ratio is None and "apt install bart" in row.note for row in rows)


@pytest.mark.skipif(programs.find("bart") is None, reason="needs the program bart")
def test_rows_with_bart_reach_its_objective():
    first, second = bench.measure_compressed_sensing(quick=True)
    objective, barts = (float(part.split()[-1]) for part in first.note.split(","))
    assert 0 < objective <= barts
    assert "NRMSE" in second.note
