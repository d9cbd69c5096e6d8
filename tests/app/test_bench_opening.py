"""The rows of opening, of volumes and of the window."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from app.bench import opening, window


@pytest.fixture
def small_volume(monkeypatch):
    """A volume that takes no time, written in this process, on as many threads as the other tests have."""

    def write(folder, n_slices):
        path = Path(folder) / "volume.h5"
        opening.write_volume(path, n_slices)
        return path

    monkeypatch.setattr(opening, "_volume", write)
    monkeypatch.setattr(opening, "_N_COILS", 6)
    monkeypatch.setattr(opening, "_MATRIX", (128, 96))
    monkeypatch.setattr(opening, "_SIDE", 64)
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)  # noqa: ARG005


def test_the_network_has_a_part_of_the_time_of_a_volume(small_volume):
    [row] = opening.measure_volume(quick=True)
    assert row.name == "volume with PC-RNN-S: a slice"
    assert row.value > 0 and row.ratio > 0
    assert row.met is (row.ratio >= 0.95)
    assert "2 slices of 6 × 128 × 96" in row.note


def test_opening_counts_memory_in_slices(small_volume):
    shown, growth = opening.measure_opening(quick=True)
    assert shown.anchor.startswith("h5py + numpy.fft")
    assert shown.met is (shown.value <= 300)
    assert growth.unit == "slices" and growth.met is (growth.value <= 2)


def test_scrolling_is_compared_with_plain_views(qapp, monkeypatch):
    monkeypatch.setattr(window, "_SCROLL_SECONDS", 0.3)
    rate, refresh = window.measure_scrolling(quick=True)
    assert rate.met is (rate.value >= 30)
    assert refresh.value == pytest.approx(1000 / rate.value)
    assert refresh.anchor.startswith("plain pyqtgraph")
    assert refresh.met is (refresh.ratio <= 0.6)
