"""Campaigns and ablations: equal budgets, the same data, going on where they stopped, beside what is printed."""

from __future__ import annotations

import csv

import h5py
import numpy as np
import pytest

import recon
from recon import metrics, models, phantom, weights
from recon.errors import RequestError
from training import ablation, campaign
from training.config import read_config

TINY = [
    "overrides={n_iterations=1}", "sizes=[32]", "validation_slices=1", 'precision="fp32"', "max_simulated_coils=2",
    "learning_rate=1e-4", "n_coils=2",
]  # fmt: skip
SETTINGS = [word for one in TINY for word in ("--set", one)]


@pytest.fixture
def images(tmp_path):
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, 36) for _ in range(3)), indexing="ij")
    ball = (np.sqrt(z**2 + y**2 + x**2) < 0.8) * (1 + 0.3 * np.sin(12 * x) * np.cos(9 * y))
    with h5py.File(tmp_path / "images.h5", "w") as file:
        file["train/ball"] = file["validation/ball"] = (ball * 200).astype(np.uint8)
    return tmp_path / "images.h5"


@pytest.fixture
def scan(tmp_path):
    return phantom.write(tmp_path / "head.h5", phantom.PhantomSpec(n_slices=1, n_coils=3, matrix=(32, 32)))


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_an_ablation_trains_scores_and_goes_on(images, scan, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("training.score.N_SEEDS", 2)
    words = ["table-vii", "--images", str(images), "--samples", "4", "--out", str(tmp_path / "out"), "--quiet"]
    words += ["--score", str(scan), "--devices", "cpu", "--only", "pcrnn-1x", "--only", "pcrnn-2x", *SETTINGS]
    assert ablation.main(words) == 0
    rows = {row["method"]: row for row in read(tmp_path / "out" / "table-vii.csv")}
    assert len(rows) == 10
    assert (rows["pcrnn-1x"]["paper_fastmri_brain_psnr"], rows["pcrnn-s"]["paper_fastmri_knee_ssim"]) == (
        "38.6",
        "0.93",
    )
    assert rows["pcrnn-s"]["psnr"] == ""  # left out
    published = {name: tmp_path / "out" / name / f"{name}-2coil.safetensors" for name in ("pcrnn-1x", "pcrnn-2x")}
    for name, path in published.items():
        story = weights.read_header(path).story
        assert story["steps"] == 4
        assert float(rows[name]["psnr"]) == pytest.approx(campaign.mean_scores(story["scores"])["psnr"])
    text = (tmp_path / "out" / "table-vii.md").read_text()
    assert "4 samples each" in text and "other data" in text and "Table VII" in text

    # The same command trains nothing again; one with another budget is refused.
    before = [path.read_bytes() for path in published.values()]
    assert ablation.main(words) == 0
    assert [path.read_bytes() for path in published.values()] == before
    words[words.index("--samples") + 1] = "8"
    assert ablation.main(words) != 0
    assert "samples_per_epoch 1 → 2" in capsys.readouterr().err


def test_modules_are_scored_by_themselves(scan, tmp_path, monkeypatch):
    monkeypatch.setattr(ablation, "N_SEEDS", 1)
    path = next(entry.path for entry in models.get_card("pcrnn-s").weights if entry.n_coils == 1)
    scores = ablation.score_modules(path, [scan], 4.0)
    assert list(scores) == ["4x", "2x", "1x", "final"]
    series = recon.open_study(scan).series[0]
    results = [
        recon.run(series, recon.Request(str(path), recon.MaskSpec(kind, 4.0, seed=0))) for kind in campaign.KINDS
    ]
    expected = np.mean([metrics.psnr(result.reference, result.module_outputs()["2x"]) for result in results])
    assert scores["2x"]["psnr"] == pytest.approx(expected, abs=1e-3)
    markdown, lines = ablation.beside("table-vi", scores)
    assert [line["method"] for line in lines] == ["4x", "2x", "1x", "final"]
    assert lines[-1]["paper_fastmri_brain_psnr"] == 40.8 and f"{scores['2x']['psnr']:.2f}" in markdown


def test_a_method_that_fails_stops_no_other(images, tmp_path, capsys):
    words = ["--images", str(images), "--samples", "4", "--out", str(tmp_path / "out"), "--devices", "cpu", "--quiet"]
    words += ["--model", "pcrnn-4x", "--model", "pcrnn-1x", *SETTINGS, "--set", "overrides={widths=[4]}"]
    # A 4x module of width 4 is fine; weights that are none are not, and belong to the second method alone.
    broken = tmp_path / "out" / "pcrnn-4x" / "last.ckpt"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"garbage")
    assert campaign.main(words) == 1
    lines = {line["method"]: line for line in read(tmp_path / "out" / "campaign.csv")}
    assert lines["pcrnn-1x"]["steps"] == "4" and lines["pcrnn-1x"]["problem"] == ""
    assert lines["pcrnn-4x"]["steps"] == "" and "last.ckpt" in lines["pcrnn-4x"]["problem"]
    assert "pcrnn-4x" in capsys.readouterr().out


def test_entries_share_data_and_budget_and_begin_with_the_smallest():
    entries = campaign.make_entries(campaign.list_methods(), campaign.budget(5, None))
    configs = [entry.config for entry in entries]
    assert {config.minutes for config in configs} == {5.0}
    assert len({(config.n_coils, config.sizes, config.noise, config.accelerations) for config in configs}) == 1
    # The loss stays the method's own.
    losses = {config.model: config.loss for config in configs}
    assert (losses["pcrnn-s"], losses["oucr-xs"], losses["e2e-varnet-compact"]) == ("nmse-ssim", "l1", "ssim")
    sizes = [models.create(entry.name, 4, **entry.config.overrides).n_parameters for entry in entries[:3]]
    assert sizes == sorted(sizes)
    assert campaign.recipe_for("pcrnn-b") == ("pcrnn-quick", {"model": "pcrnn-b"})


def test_every_variant_of_the_papers_is_a_preset():
    for table, base in (("table-vii", "pcrnn-quick"), ("table-2", "oucr-quick")):
        assert read_config(base).minutes
        for method in ablation.paper_rows(table):
            assert models.get_card(method).family == "convrnn"


def test_impossible_wishes(images, tmp_path, capsys):
    with pytest.raises(RequestError, match="too small"):
        campaign.budget(None, 2)
    with pytest.raises(RequestError, match="trains nothing"):
        campaign.budget(0, None)
    words = ["table-2", "--images", str(images), "--out", str(tmp_path), "--only", "pcrnn-1x"]
    assert ablation.main(words) != 0
    assert "has no variant 'pcrnn-1x'" in capsys.readouterr().err
    assert ablation.main(["table-iv", "scan.h5"]) == 0
    assert "--coil-study 4,8,12,16" in capsys.readouterr().out


def test_numbers_of_the_papers(vectors):
    with (vectors / "paper_tables.csv").open(newline="") as file:
        printed = [
            row for row in csv.DictReader(file) if (row["paper"], row["table"]) in (("PC-RNN", "VII"), ("OUCR", "2"))
        ]
    ours = [
        value
        for table in ("table-vii", "table-2")
        for row in ablation.paper_rows(table).values()
        for value in row.values()
    ]
    assert sorted(float(row["value"]) for row in printed) == sorted(number for pair in ours for number in pair)


def test_methods_are_compared_on_what_all_of_them_can(tmp_path, monkeypatch):
    def row(acceleration, psnr):
        spread = {"mean": psnr, "sd": 0.0}
        names = ("psnr", "ssim", "zero_filled_psnr", "zero_filled_ssim")
        return {"scan": "scan", "mask": "random", "acceleration": acceleration} | dict.fromkeys(names, spread)

    tables = {"all": [row(4.0, 30.0), row(8.0, 20.0)], "maps": [row(4.0, 31.0)]}

    def score(path, scans, accelerations):
        if path.stem == "none":
            raise RequestError("no mask fits.")
        return tables[path.stem]

    monkeypatch.setattr(campaign, "KINDS", ("random",))
    monkeypatch.setattr(campaign, "score", score)
    monkeypatch.setattr(campaign, "write_scores", lambda known, rows: None)  # noqa: ARG005
    monkeypatch.setattr(campaign.weights, "read_header", lambda path: type("Known", (), {"story": {}}))  # noqa: ARG005
    found = {name: tmp_path / f"{name}.safetensors" for name in ("all", "maps", "none")}
    means, left_out, refused = campaign.score_all(found, [tmp_path / "scan.h5"], [4.0, 8.0])
    assert left_out.endswith("the mask: scan, random 8x.")
    assert refused == {"none": "not scored: no mask fits."}
    assert {name: mean["psnr"] for name, mean in means.items()} == {"all": 30.0, "maps": 31.0}
