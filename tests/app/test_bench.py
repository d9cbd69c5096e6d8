"""The benchmark: which measurements it makes, and what the rows of networks say."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F

from app import bench
from app.bench import __main__ as child
from app.bench import coils, measuring, networks
from app.bench.measuring import Row
from app.commands.bench import as_markdown, as_text, summary
from recon import peak_memory, programs
from recon.errors import MRIError
from recon.models import FAMILIES, get_card, list_models


def constantly(value):
    return lambda *_, **__: value


@pytest.fixture
def same_threads(monkeypatch):
    """Stay on as many threads as the other tests have."""
    monkeypatch.setattr(torch, "set_num_threads", constantly(None))


@pytest.fixture
def small_scan(same_threads, monkeypatch):
    """Slices that take no time."""
    monkeypatch.setattr(networks, "_SIDE", 96)
    monkeypatch.setattr(networks, "_SMALL_SIDE", 80)


@pytest.fixture
def small_networks(small_scan, monkeypatch):
    """Networks of a few channels in the place of the published ones."""
    from recon import models

    sizes = {"vn": {"n_filters": 4, "n_steps": 2, "kernel_size": 5}, "d5c5": {"width": 8}, "unet-fastmri": {"width": 4}}

    def small(card):
        return models.create(card.name, 4, **sizes[card.name]).eval().requires_grad_(False), "small"

    monkeypatch.setattr(networks, "_network", small)


# ---- selection ----------------------------------------------------------------------------------------------------


def test_every_network_of_the_registry_is_measured():
    trained = {card.name for card in list_models() if card.family in FAMILIES and card.needs_training}
    assert trained == set(networks.presets())
    assert bench.select(["networks"], quick=False) == ["precision", *networks.presets()]


def test_groups_hold_every_measurement_once():
    members = [name for group in bench.GROUPS.values() for name in group]
    assert sorted(members) == sorted(bench.MEASUREMENTS)
    assert bench.select(None, quick=False) == members
    assert bench.select(["training", "opening"], quick=False) == [*bench.GROUPS["training"], *bench.GROUPS["opening"]]


def test_quick_takes_few_networks_and_everything_else():
    names = bench.select(None, quick=True)
    assert set(networks.presets()) & set(names) == set(networks.QUICK_PRESETS)
    assert set(bench.MEASUREMENTS) - set(networks.presets()) < set(names)
    assert bench.select(["vn"], quick=True) == ["vn"]


def test_selection_keeps_order_and_counts_nothing_twice():
    assert bench.select(["maps", "vn", "maps"], quick=True) == ["maps", "vn"]
    names = bench.select(["vn", "networks"], quick=False)
    assert names[0] == "vn"
    assert sorted(names) == sorted(bench.GROUPS["networks"])


def test_an_unknown_measurement_is_refused_by_name():
    with pytest.raises(MRIError, match=r"no measurement 'vm'.*groups window, .*training, .*or a network by its name"):
        bench.select(["coils", "vm"], quick=False)


def test_heavy_and_quick_presets_exist():
    assert set(networks._HEAVY) | set(networks.QUICK_PRESETS) <= set(networks.presets())


# ---- networks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["d5c5", "unet-fastmri"])
def test_a_network_is_compared_with_its_convolutions_and_with_plain_layout(preset, small_networks):
    whole, layout = networks.measure_network(preset, quick=True)
    assert whole.name == f"{get_card(preset).title}, 80²: whole forward"
    assert "small" in whole.note
    assert whole.ratio > 1  # a forward takes longer than its part
    assert whole.met is (whole.ratio <= 1.3)
    assert layout.value == whole.value
    assert layout.anchor.startswith("fp32 NCHW eager")
    assert layout.ratio > 0
    assert "its convolutions alone" in layout.note


def test_experts_are_compared_with_the_same_filters_as_convolutions(small_networks):
    whole, layout = networks.measure_network("vn", quick=True)
    assert whole.anchor.startswith("the same filters as convolutions")
    assert whole.ratio > 0
    assert "its convolutions" not in layout.note


def test_the_full_bench_measures_memory_at_full_size(small_networks):
    *_, memory = networks.measure_network("d5c5", quick=False)
    assert memory.name == "D5C5, 96²: peak memory"
    if memory.value is not None:
        assert 0 <= memory.value < 1
        assert memory.anchor.startswith("announced 0.0")
        assert memory.met is True
        whole = float(memory.note.removeprefix("beside the program; ").split()[0])
        assert whole > memory.value


def test_heavy_networks_are_timed_smaller_and_named_so(small_networks):
    whole, _, memory = networks.measure_network("vn", quick=False)
    assert ", 80²" in whole.name
    assert ", 96²" in memory.name


def test_memory_of_networks_that_need_much_is_held_against_what_they_announce(small_networks, monkeypatch):
    model, _ = networks._network(get_card("d5c5"))
    monkeypatch.setattr(type(model), "peak_memory_bytes", constantly(2_000_000_000))
    monkeypatch.setattr(type(model), "lighter_setting", "another")
    row = networks._memory_row(get_card("d5c5"), model, networks._scan(get_card("d5c5"), 80))
    assert row.goal == "as announced"
    assert row.note.endswith("lighter: another") or row.value is None


def test_memory_that_cannot_be_measured_is_said(small_networks, monkeypatch, tmp_path):
    monkeypatch.setattr(peak_memory, "_RESET", tmp_path / "missing" / "clear_refs")
    model, _ = networks._network(get_card("d5c5"))
    row = networks._memory_row(get_card("d5c5"), model, networks._scan(get_card("d5c5"), 80))
    assert row.value is None and row.met is None
    assert "Linux" in row.note
    assert "–" in as_text([row])


def test_without_bfloat16_units_the_layout_alone_is_reported(small_networks, monkeypatch):
    monkeypatch.setattr("recon.device.has_bfloat16_units", constantly(False))
    whole, layout = networks.measure_network("d5c5", quick=True)
    assert layout.name.endswith("fp32 channels-last")
    assert layout.met is None
    assert "no bf16 units" in layout.note
    assert whole.note.startswith("fp32")


def test_plain_layout_keeps_networks_from_channels_last():
    channels = torch.ones(1, 4, 8, 8)
    with measuring.plain_layout():
        assert channels.to(memory_format=torch.channels_last).is_contiguous()
    assert channels.to(memory_format=torch.channels_last).is_contiguous(memory_format=torch.channels_last)


def test_the_clock_counts_convolutions_and_nothing_else():
    class Data:
        zero_filled, kspace, mask, maps = torch.ones(1, 2, 64, 64), None, None, None

    def convolve(image, *_):
        return F.conv_transpose2d(F.conv2d(image, torch.ones(64, 2, 5, 5)), torch.ones(64, 2, 5, 5))

    def add(image, *_):
        return image + image

    # Of several, since whatever else the machine does falls into either part of one.
    total, inside = max((networks._clocked(convolve, Data) for _ in range(5)), key=lambda times: times[1] / times[0])
    assert 0.5 * total < inside <= total
    assert networks._clocked(add, Data)[1] == 0


def test_precision_says_what_bfloat16_costs(small_scan):
    loss, share = networks.measure_precision(quick=True)
    assert "between the two" in loss.note
    assert loss.value < 1
    assert 0 < share.value < 100


# ---- coils and running --------------------------------------------------------------------------------------------


@pytest.fixture
def small_coils(same_threads, monkeypatch):
    monkeypatch.setattr(coils, "_MATRIX", (64, 64))
    monkeypatch.setattr(coils, "_N_CALIBRATION", 12)


@pytest.mark.parametrize("measurement", [coils.measure_maps, coils.measure_compression])
def test_rows_without_bart_name_the_reason(measurement, small_coils, monkeypatch):
    monkeypatch.setattr(programs, "find", constantly(None))
    [row] = measurement(quick=True)
    assert row.value > 0
    assert row.met is None and row.ratio is None
    assert "apt install bart" in row.note


@pytest.mark.skipif(programs.find("bart") is None, reason="needs the program bart")
def test_maps_agree_with_barts_and_compression_says_what_files_take(small_coils):
    [maps] = coils.measure_maps(quick=True)
    assert maps.anchor.startswith("bart ecalib")
    assert "of BART's maps" in maps.note
    [compression] = coils.measure_compression(quick=True)
    assert compression.met is (compression.ratio >= 20)
    assert "bart copy" in compression.note


ROWS = [
    Row("fast", 1.0, "s", "slow 4.00 s", 4.0, "≥ 3 × faster", True),
    Row("late | slow", 2.0, "s", "slow 4.00 s", 2.0, "≥ 3 × faster", False, "why"),
    Row("elsewhere", None, "s", goal="≤ 1 s", note="cannot be measured here"),
]


def test_tables_say_met_and_missed():
    text, markdown = as_text(ROWS).splitlines(), as_markdown(ROWS).splitlines()
    assert " met" in text[2] and "MISSED" in text[3] and "met" not in text[4].lower()
    assert markdown[0] == "| what | value | against | ratio | goal | verdict | note |"
    assert set(markdown[1]) <= set("| -")
    assert markdown[2] == "| fast | 1 s | slow 4.00 s | 4.00 | ≥ 3 × faster | met |  |"
    assert markdown[3].startswith(r"| late \| slow |") and "| MISSED | why |" in markdown[3]


def test_the_summary_names_what_is_missed():
    assert summary(ROWS) == "1 goal met, 1 missed: late | slow. 1 row without a verdict on this machine."
    assert summary(ROWS[:1]) == "1 goal met, 0 missed."


def test_a_child_prints_its_rows_as_json(monkeypatch, capsys):
    row = Row("one", None, "s", goal="none", note="cannot be measured here")
    monkeypatch.setitem(bench.MEASUREMENTS, "maps", constantly([row]))
    assert child.main(["maps", "--quick"]) == 0
    assert [Row(**values) for values in json.loads(capsys.readouterr().out)] == [row]


def test_a_child_that_fails_is_an_error_with_its_last_words():
    with pytest.raises(MRIError, match=r"measurement of nothing failed: KeyError: 'nothing'"):
        bench.measure("nothing", quick=True)
