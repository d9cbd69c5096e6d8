"""What an evaluation tells its reader: parameters, the best, the cost, what is missing, and which file is which."""

from __future__ import annotations

import csv
import math
import shutil
from pathlib import Path

import pytest

from recon import phantom, statistics
from recon.batch import places
from recon.evaluation import PAIRS, Evaluation
from recon.evaluation_problems import group_problems, group_warnings, named
from recon.evaluation_work import EvaluationWork
from recon.export import box_plot
from recon.export.evaluation import costs, model_lines, wilcoxon_lines
from recon.export.evaluation_summary import write_summary


@pytest.fixture(autouse=True)
def no_figures(monkeypatch):
    """Figures are drawn in the tests of the tables."""
    monkeypatch.setattr(box_plot, "write", lambda path, *_: path)


def evaluate(paths, out, *models, **changes):
    """Run an evaluation in this process; returns the lines of its volumes, and its page."""
    work = EvaluationWork(Evaluation(models, masked=False, **changes), tuple(paths), out)
    work.prepare()
    work.begin(0, None)
    for item, cost in enumerate(work.costs):
        if cost:
            work.process(item, lambda *_: None)
    work.finish()
    with (out / "scores.csv").open(newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["level"] == "volume"]
    return lines, (out / "summary.md").read_text("utf-8")


def write_scan(path, acquisition="AXT2"):
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    phantom.write(path, phantom.PhantomSpec(n_slices=1, n_coils=2, matrix=(32, 64)))
    with h5py.File(path, "r+") as file:
        file.attrs["acquisition"] = acquisition
    return path


def row(volume, method, value, **changes):
    """A row of one slice with the same score everywhere."""
    scores = {metric: {"volume": value, "slices": [value]} for metric in statistics.METRICS}
    return {
        "kind": "scores", "status": "done", "volume": volume, "file": f"{volume}.h5", "sequence": "AXT2",
        "method": method, "model": method, "mask": "random", "acceleration": 4.0, "grid": "cropped", "n_coils": 4,
        "n_virtual_coils": 4, "simulated": False, "slices": [0], "whole": scores, "masked": None, "masked_reason": "",
        "bands": {"low": scores, "high": scores}, "n_parameters": 0, "weights_sha256": None, "device": "cpu",
        "precision": "float32", "seconds": 1.0, "peak_memory_gb": None,
    } | changes  # fmt: skip


def page_of(rows, folder):
    write_summary(folder, Evaluation(("zero-filled",)), rows, [])
    return (folder / "summary.md").read_text("utf-8")


def test_pairs_of_patterns_are_every_seed_of_every_volume():
    rows = [
        row(volume, method, value + better + seed, seed=seed)
        for volume, value in (("a", 30.0), ("b", 20.0))
        for method, better in (("one", 0.0), ("other", 0.5))
        for seed in range(3)
    ]
    counts = {}
    for by in PAIRS:
        [line] = [
            line for line in wilcoxon_lines(rows, Evaluation(("one", "other"), pair_by=by)) if line["metric"] == "psnr"
        ]
        assert line["paired_by"] == by and line["median_difference"] == pytest.approx(-0.5)
        counts[by] = line["n"], line["p"]
    assert counts == {"volume": (2, 0.5), "slice": (2, 0.5), "pattern": (6, pytest.approx(2 / 2**6))}


# ---- parameters ---------------------------------------------------------------------------------------------------


def test_lambda_is_recorded_for_each_volume_and_acceleration(tmp_path):
    scans = [write_scan(tmp_path / f"{name}.h5", name) for name in ("AXT1", "other")]
    changes = {"accelerations": (4.0, 8.0), "center_fraction": 0.1, "maps": "walsh"}
    models = ("zero-filled", "cs-tv:n_iterations=2", "cs-tv:lambda=0.5,n_iterations=2")
    lines, page = evaluate(scans, tmp_path / "out", *models, **changes)
    found = {(line["method"], line["volume"], line["acceleration"]): line for line in lines}
    chosen = {key[1:]: line["parameters"].split(", ")[0] for key, line in found.items() if key[0] == models[1]}
    # The values of fastMRI's table for an array of coils.
    assert chosen == {
        ("AXT1", "4"): "lambda=0.001", ("AXT1", "8"): "lambda=0.01",
        ("other", "4"): "lambda=0.01", ("other", "8"): "lambda=0.01",
    }  # fmt: skip
    assert "lambda: fastMRI's table: AXT1, an array, 4x" in found[models[1], "AXT1", "4"]["parameter_origins"]
    assert "not in fastMRI's table" in found[models[1], "other", "4"]["parameter_origins"]
    given = found[models[2], "AXT1", "4"]
    assert given["parameters"].startswith("lambda=0.5, n_iterations=2")
    assert "lambda: set by the user" in given["parameter_origins"]
    assert {line["parameters"] for line in lines if line["method"] == "zero-filled"} == {""}
    table = [line for line in page.splitlines() if line.startswith("| cs-tv:")]
    [low] = [line for line in table if "lambda=0.001," in line]
    assert "fastMRI's table: AXT1, an array, 4x" in low and low.endswith("| 1 |")
    # Both accelerations of a scan that is in no table, and of both scans where the user set λ.
    assert any("not in fastMRI's table" in line and line.endswith("| 1 |") for line in table)
    assert any("lambda=0.5" in line and line.endswith("| 2 |") for line in table)


# ---- what is best, and what it costs ------------------------------------------------------------------------------


def test_a_mean_over_fewer_volumes_is_not_the_best(tmp_path):
    rows = [row("easy", "often", 30.0), row("hard", "often", 20.0), row("easy", "seldom", 29.0)]
    assert "**" not in page_of(rows, tmp_path)  # 29 dB is the higher mean, over the easy one alone
    rows += [row("easy", "worse", 28.0), row("hard", "worse", 18.0)]
    page = page_of(rows, tmp_path)
    assert "**25.00** ±" in page and "**29.00**" not in page
    assert "with the most volumes (n), if those are the same volumes" in page


def test_as_many_volumes_are_not_the_same_volumes(tmp_path):
    rows = [row("a", "first", 30.0), row("b", "first", 20.0), row("b", "second", 25.0), row("c", "second", 25.5)]
    assert "**" not in page_of(rows, tmp_path)
    rows[3]["volume"] = "a"
    assert "**25.25** ±" in page_of(rows, tmp_path)


def test_spread_knows_its_samples():
    found = statistics.spread({("a",): 1.0, ("b",): math.nan, ("c",): 3.0})
    assert (found.n, found.mean, found.samples) == (2, 2.0, {("a",), ("c",)})


def test_seconds_are_over_all_slices_of_a_method():
    few = row("small", "pcrnn-s", 30.0, seconds=3.0, peak_memory_gb=0.5)
    many = row("large", "pcrnn-s", 30.0, seconds=57.0, n_virtual_coils=16, slices=[0, 1, 2], peak_memory_gb=2.0)
    last = row("small", "pcrnn-s", 30.0, seconds=3.0, acceleration=8.0)
    rows = [few, many, last, row("small", "zero-filled", 20.0), row("x", "zero-filled", 0.0, status="failed")]
    assert len(model_lines(rows)) == 3
    assert costs(rows) == {"pcrnn-s": (pytest.approx(63 / 5), 2.0), "zero-filled": (1.0, None)}


def test_the_page_says_what_peak_memory_is(tmp_path):
    assert "the program itself included" in page_of([row("a", "first", 30.0)], tmp_path)


# ---- what is missing ----------------------------------------------------------------------------------------------


def test_a_volume_is_named_unless_the_reason_names_it():
    def said(volume, reason):
        [problem] = group_problems([row(volume, "net", 0.0, status="failed", reason=reason)])
        return problem.sentence

    assert said("a", "a mask is missing.") == "a mask is missing (a; net; 1 score missing)."
    assert said("head", "/scans/head.h5: is cut off.") == "/scans/head.h5: is cut off (net; 1 score missing)."
    assert said("head", "/scans/head2.h5: is cut off.") == "/scans/head2.h5: is cut off (head; net; 1 score missing)."


def test_one_problem_of_many_rows_is_said_once(tmp_path):
    failed = {"status": "failed", "reason": "no weights yet."}
    rows = [row(f"v{number}", "net", 0.0, acceleration=r, **failed) for number in range(13) for r in (4.0, 8.0)]
    rows += [row("bad", method, 0.0, status="failed", reason="bad: cut short.") for method in "abcd"]
    rows += [row("v0", "a", 30.0)]
    problems = group_problems(rows)
    assert [problem.sentence for problem in problems] == [
        "no weights yet (v0, v1 and 11 more volumes; net; 26 scores missing).",
        "bad: cut short (a, b and 2 more methods; 4 scores missing).",
    ]
    table = page_of(rows, tmp_path).partition("## Without a score")[2].partition("##")[0]
    assert "| failed | no weights yet. | v0, v1 and 11 more volumes | net | random 4x, random 8x | 26 |" in table
    assert len(table.strip().splitlines()) == 2 + 2


def test_a_warning_of_many_rows_is_said_once_and_stands_beside_the_means(tmp_path, caplog):
    import h5py

    caplog.set_level("INFO", "recon")
    scans = [write_scan(tmp_path / f"head{number}.h5") for number in range(4)]
    for path in scans[1:]:
        with h5py.File(path, "r+") as file:
            file["kspace"][:, 1] = 0
    for _ in ("new", "resumed"):
        caplog.clear()
        _, page = evaluate(scans, tmp_path / "out", "zero-filled", "cg-sense", center_fraction=0.2)
        said = [one.getMessage() for one in caplog.records if "measured nothing" in one.getMessage()]
        assert len(said) == 1 and said[0].endswith("(head1, head2, head3)."), said
        lines = [line for line in page.splitlines() if "measured nothing" in line]
        assert len(lines) == 1 and lines[0].endswith("| head1, head2, head3 | zero-filled, cg-sense | 6 |")
        assert page.index("## Warnings") < page.index("whole image (unmasked)")


def test_a_warning_names_its_methods_where_others_have_none():
    rows = [row(name, method, 1, warnings=["Odd."] * (method == "a")) for name in "xyz" for method in "ab"]
    assert [one.sentence for one in group_warnings(rows)] == ["Odd (x, y, z; a)."]
    assert [one.sentence for one in group_warnings(rows[:2])] == ["x · a: Odd."]


def test_names_that_are_few_are_all_written():
    assert named(["a", "b", "a", "c"], "volumes") == "a, b, c"
    assert named(["a", "b", "c", "d"], "volumes") == "a, b and 2 more volumes"


# ---- which file is which ------------------------------------------------------------------------------------------


def test_two_files_of_one_name_are_told_apart(tmp_path):
    first = write_scan(tmp_path / "given" / "monday" / "head.h5")
    second = tmp_path / "given" / "tuesday" / "head.h5"
    second.parent.mkdir()
    shutil.copy(first, second)
    (tmp_path / "given" / "tuesday" / "notes.h5").write_text("no scan")
    for name, paths in (("folder", [tmp_path / "given"]), ("files", [first, second])):
        lines, page = evaluate(paths, tmp_path / name, "zero-filled")
        found = {line["volume"]: line["file"] for line in lines if line["status"] == "done"}
        assert found == {"head": "monday/head.h5", "head-2": "tuesday/head.h5"}
        assert "| head-2 | tuesday/head.h5 | AXT2 | 2 | 1 of 1 |" in page
    lines, _ = evaluate([second], tmp_path / "alone", "zero-filled")
    assert [line["file"] for line in lines] == ["head.h5"]


def test_places_are_no_longer_than_needed():
    given = {
        Path("/home/doe/a/x.h5"): Path("/home/doe/a/x.h5"),
        Path("/home/doe/b/x.h5"): Path("/home/doe/b/x.h5"),
        Path("/data/y.h5"): Path("/data/y.h5"),
        Path("/data/series/one/z.h5"): Path("/data/series"),
    }
    assert list(places(given).values()) == ["a/x.h5", "b/x.h5", "y.h5", "one/z.h5"]
    assert list(places({Path("x"): Path("x"), Path("a/x"): Path("a/x")}).values()) == ["x", "a/x"]


def test_the_tables_have_the_size_of_each_method_and_say_where_it_is_not_the_paper_s(tmp_path):
    note = "these weights: 48 filters, 131,050 parameters; the paper's have 480 filters."
    rows = [
        row("a", "cs-tv", 30.0),
        row("a", "vn", 32.0, n_parameters=131050, size_note=note),
        row("a", "pcrnn-s", 33.0, n_parameters=1589314, size_note=""),
        row("b", "pcrnn-s", 33.0, n_parameters=1595644, size_note=""),
    ]
    write_summary(tmp_path, Evaluation(("cs-tv", "vn", "pcrnn-s")), rows, [])
    page = (tmp_path / "summary.md").read_text("utf-8")
    first = page.split("## ")[1]
    tables = [line.split(" | ") for line in first.splitlines() if line.startswith("| ")]
    assert tables[0][2].strip() == "Parameters"
    sizes = {line[1].strip(): line[2].strip() for line in tables}
    assert (sizes["cs-tv"], sizes["vn"], sizes["pcrnn-s"]) == ("–", "131,050", "1,589,314–1,595,644")
    assert f"- vn: {note}" in page


def test_a_row_knows_that_its_network_is_smaller_than_the_paper_s(tmp_path):
    from recon import models, weights

    story = {"preset": "vn", "n_coils": 2, "parameters": {"n_filters": 2}}
    small = weights.save(tmp_path / "small.safetensors", models.create("vn", 2, n_filters=2).state_dict(), story)
    _, page = evaluate([write_scan(tmp_path / "head.h5")], tmp_path / "out", str(small.path), center_fraction=0.2)
    assert f"these weights: 2 filters, {small.n_parameters:,} parameters; the paper's have 480 filters." in page


def test_what_many_small_scans_have_in_common_is_said_once(tmp_path, caplog):
    scans = [write_scan(tmp_path / f"head{number}.h5") for number in range(4)]
    evaluate(scans, tmp_path / "out", "cs-tv", "cg-sense", "vn", accelerations=(8.0, 16.0), seeds=(0,))
    said = [record.getMessage() for record in caplog.records if "sensitivity maps need" in record.getMessage()]
    assert [line.partition("found ")[2][0] for line in said] == ["3", "1"]
    assert all("(head0, head1 and 2 more volumes; cs-tv, cg-sense, vn; 12 scores missing)" in line for line in said)
    caplog.clear()
    # What was known before is not news; what failed is tried again.
    evaluate(scans, tmp_path / "out", "zero-filled")
    assert "sensitivity maps need" not in caplog.text


@pytest.mark.parametrize("scale", [1e-30, 1e-37])
def test_kspace_that_is_too_small_is_not_scored_and_not_called_empty(tmp_path, scale):
    import h5py

    scan = write_scan(tmp_path / "tiny.h5")
    with h5py.File(scan, "r+") as file:
        file["kspace"][...] = file["kspace"][()] * scale
        del file["reconstruction_rss"]
    (line,), page = evaluate([scan], tmp_path / "out", "zero-filled")
    assert line["status"] == "failed"
    assert "its image underflows to zero; the file's scale is off" in line["reason"]
    assert "above zero" not in page
