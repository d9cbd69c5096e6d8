"""Evaluations: what the tables say is what the scores say, whoever made them and however often it was stopped."""

from __future__ import annotations

import csv
import importlib
import shutil
import statistics as stdlib_statistics
import sys

import h5py
import numpy as np
import pytest
import torch

import recon
from recon import coils, memory, metrics, models, phantom, pipeline
from recon.errors import DeviceError
from recon.evaluation import Evaluation, method_names
from recon.evaluation_work import EvaluationWork
from recon.export import box_plot
from recon.journal import Journal
from recon.masks import MaskSpec
from recon.peak_memory import PeakMemory
from recon.request import Request
from recon.scoring import Support

SIZE = 32


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Three phantoms, of two sequences."""
    folder = tmp_path_factory.mktemp("scans")
    for number in range(3):
        spec = phantom.PhantomSpec(n_slices=2, n_coils=4, matrix=(SIZE, SIZE), seed=number)
        path = phantom.write(folder / f"head{number}.h5", spec)
        with h5py.File(path, "r+") as file:
            file.attrs["acquisition"] = "AXT2" if number < 2 else "AXFLAIR"
    return folder


def evaluate(paths, out, *models, **changes):
    """Run an evaluation in this process; returns the work and the exit status."""
    work = EvaluationWork(Evaluation(models or ("zero-filled",), **changes), tuple(paths), out)
    work.prepare()
    work.begin(0, None)
    for item, cost in enumerate(work.costs):
        if cost:
            work.process(item, lambda *_: None)
    return work, work.finish()


@pytest.fixture
def no_figures(monkeypatch):
    """Spare the seconds that drawing takes, where figures are not the point."""
    monkeypatch.setattr(box_plot, "write", lambda path, *_: path)


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(scans, tmp_path_factory):
    """Two methods (two numbers of virtual coils) at two accelerations, on all scans."""
    out = tmp_path_factory.mktemp("finished")
    work, status = evaluate([scans], out, accelerations=(4.0, 8.0), coils=(None, 1))
    assert status == 0
    return work, out


# ---- scores -------------------------------------------------------------------------------------------------------


def test_scores_are_those_of_the_pipeline(finished, scans):
    _, out = finished
    series = recon.open_study(scans / "head1.h5").series[0]
    result = recon.run(series, Request("zero-filled", MaskSpec("equispaced-fraction", 8), coils=1))
    maps = torch.stack([coils.espirit(series.read(index).kspace, 24) for index in range(2)])
    support = (maps.abs().square().sum(1) > 0.25).numpy()
    assert 0.1 < support.mean() < 0.95
    whole = metrics.score(result.reference, result.final)
    masked = metrics.score(result.reference * support, result.final * support)
    lines = [
        line
        for line in read(out / "scores.csv")
        if (line["volume"], line["method"], line["acceleration"]) == ("head1", "zero-filled (1 coil)", "8")
    ]
    assert [(line["level"], line["slice"]) for line in lines] == [("volume", ""), ("slice", "0"), ("slice", "1")]
    for metric in ("psnr", "ssim", "nmse"):
        for line, position in zip(lines, (None, 0, 1), strict=True):
            for scores, column in ((whole, metric), (masked, f"{metric}_masked")):
                value = scores[metric]["volume"] if position is None else scores[metric]["slices"][position]
                assert float(line[column]) == pytest.approx(value, rel=1e-5, abs=1e-6)
    assert float(lines[0]["hfen"]) == pytest.approx(metrics.hfen(result.reference, result.final), rel=1e-5)
    assert {line["grid"] for line in lines} == {"cropped"}
    assert lines[0]["n_virtual_coils"] == "1"
    assert lines[0]["seed"] == "filename"
    assert all(line["status"] == "done" for line in lines)


def test_summary_is_what_one_computes_by_hand(finished):
    _, out = finished
    volumes = [line for line in read(out / "scores.csv") if line["level"] == "volume"]
    summary = read(out / "summary.csv")
    assert {line["sequence"] for line in summary} == {"AXT2", "AXFLAIR", "All"}
    assert {line["region"] for line in summary} == {"unmasked", "masked"}
    for line in summary:
        for acceleration in ("4", "8"):
            for metric in ("psnr", "ssim", "nmse", "hfen"):
                column = metric + ("_masked" if line["region"] == "masked" else "")
                values = [
                    float(row[column])
                    for row in volumes
                    if row["method"] == line["method"]
                    and row["acceleration"] == acceleration
                    and line["sequence"] in ("All", row["sequence"])
                ]
                assert int(line[f"n {acceleration}X"]) == len(values)
                name = f"{metric.upper()} {acceleration}X"
                assert float(line[f"{name} mean"]) == pytest.approx(sum(values) / len(values), rel=1e-5)
                sd = f"{stdlib_statistics.stdev(values):.4g}" if len(values) > 1 else ""
                found = line[f"{name} sd"]
                assert (found == sd == "") or float(found) == pytest.approx(float(sd), rel=2e-3, abs=2e-6)
    page = (out / "summary.md").read_text()
    best = max(line["PSNR 4X mean"] for line in summary if line["sequence"] == "All" and line["region"] == "unmasked")
    assert f"**{float(best):.2f}**" in page
    for text in ("Cropped grid", "(unmasked)", "(masked)", "PSNR (dB) 4X", "SSIM 8X", "simulated", "Wilcoxon"):
        assert text in page


def test_every_pair_of_methods_is_tested(finished):
    _, out = finished
    lines = read(out / "wilcoxon.csv")
    # (All and two sequences) × two accelerations × two regions × four metrics, one pair each.
    assert len(lines) == 3 * 2 * 2 * 4
    scores = [line for line in read(out / "scores.csv") if line["level"] == "volume" and line["acceleration"] == "4"]
    first, second = ([float(x["ssim"]) for x in scores if x["method"] == f"zero-filled ({name})"] for name in
                     ("own coils", "1 coil"))  # fmt: skip
    [line] = [
        line for line in lines
        if [line[name] for name in ("sequence", "acceleration", "region", "metric")] == ["All", "4", "unmasked", "ssim"]
    ]  # fmt: skip
    assert (line["n"], line["p"], line["p_holm"]) == ("3", "0.25", "0.25")
    differences = sorted(a - b for a, b in zip(first, second, strict=True))
    assert float(line["median_difference"]) == pytest.approx(differences[1], abs=2e-6)
    assert "no conclusion" in line["note"]


def test_files_of_an_evaluation(finished):
    work, out = finished
    names = {path.name for path in out.iterdir()}
    assert names == {
        "scores.csv", "summary.csv", "summary.md", "wilcoxon.csv", "frequency_bands.csv", "timing.csv", "models.csv",
        "boxplot_psnr.png", "boxplot_ssim.png", "boxplot_nmse.png", "boxplot_hfen.png", "boxplot_bands.png", "parts",
        "evaluation.json",
    }  # fmt: skip
    assert (out / "boxplot_psnr.png").read_bytes().startswith(b"\x89PNG")
    timing = read(out / "timing.csv")
    assert len(timing) == 3 * 2 * 2
    assert all(float(line["seconds"]) > 0 for line in timing)
    assert [line["method"] for line in read(out / "models.csv")] == method_names(work.evaluation.requests())[:2]
    bands = [line for line in read(out / "frequency_bands.csv") if line["level"] == "volume"]
    assert len(bands) == 3 * 2 * 2 * 2
    low, high = ([float(line["psnr"]) for line in bands if line["band"] == band] for band in ("low", "high"))
    assert sum(low) > sum(high)  # the centre of k-space is sampled


def test_seeds_are_averaged_before_volumes_are_compared(scans, tmp_path, no_figures):
    evaluate([scans / "head0.h5", scans / "head1.h5"], tmp_path, seeds=(1, 2, 3), masked=False, slices="0")
    volumes = [line for line in read(tmp_path / "scores.csv") if line["level"] == "volume"]
    assert len(volumes) == 6
    means = [sum(float(x["psnr"]) for x in volumes if x["volume"] == name) / 3 for name in ("head0", "head1")]
    [line] = [line for line in read(tmp_path / "summary.csv") if line["region"] == "unmasked"]
    assert line["n 4X"] == "2"
    assert float(line["PSNR 4X sd"]) == pytest.approx(stdlib_statistics.stdev(means), rel=1e-4)
    assert all(line["psnr_masked"] == "" for line in volumes)


# ---- stopping and going on ----------------------------------------------------------------------------------------


def test_a_stopped_run_goes_on(finished, scans, tmp_path, monkeypatch, no_figures):
    _, whole = finished
    run, calls = pipeline.Plan.run, []

    def stop_at_the_sixth(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return run(*arguments, **options)

    monkeypatch.setattr(pipeline.Plan, "run", stop_at_the_sixth)
    changes = {"accelerations": (4.0, 8.0), "coils": (None, 1)}
    with pytest.raises(KeyboardInterrupt):
        evaluate([scans], tmp_path, **changes)
    # A crash in the middle of a line, on top of it.
    part = tmp_path / "parts" / "part-0000.jsonl"
    lines = part.read_bytes().splitlines()
    assert len(lines) == 5
    part.write_bytes(b"\n".join(lines)[:-40])
    work, status = evaluate([scans], tmp_path, **changes)
    assert status == 0
    assert len(calls) - 6 == 12 - 4
    for name in ("scores.csv", "summary.csv", "summary.md", "wilcoxon.csv", "frequency_bands.csv"):
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes(), name
    assert work.costs == [0.0, 0.0, 0.0]
    again = EvaluationWork(Evaluation(("zero-filled",), **changes), (scans,), tmp_path)
    assert (again.n_reused, again.costs) == (12, [0.0, 0.0, 0.0])


def test_what_changes_a_result_changes_its_key(scans, tmp_path, monkeypatch):
    def keys(folder=scans, *models, **changes):
        work = EvaluationWork(Evaluation(models or ("zero-filled",), **changes), (folder,), tmp_path)
        return [task.key for task in work.tasks]

    base = keys()
    assert base == keys()
    assert len(set(base)) == 3
    changed = [
        keys(accelerations=(8.0,)), keys(seeds=(1,)), keys(masks=("random",)), keys(slices="0"), keys(coils=(2,)),
        keys(grid="native"), keys(band_radius=0.5), keys(masked=False), keys(scans, "pcrnn-s"),
        keys(center_fraction=0.1), keys(precision="fp32"),
    ]  # fmt: skip
    assert len({key for part in [base, *changed] for key in part}) == 3 * 12
    copy = tmp_path / "copy"
    shutil.copytree(scans, copy)
    before = keys(copy)
    with h5py.File(copy / "head0.h5", "r+") as file:
        file["kspace"][0, 0, 0, 0] = 1
    assert [a == b for a, b in zip(before, keys(copy), strict=True)] == [False, True, True]
    monkeypatch.setattr("recon.evaluation.__version__", "99")
    assert not set(keys()) & set(base)


def test_a_plugin_that_was_changed_is_scored_anew(scans, tmp_path, monkeypatch):
    def key():
        # A new program each time, since one reads the installed packages once.
        models._cards.cache_clear()
        monkeypatch.delitem(sys.modules, "mri_mine", raising=False)
        importlib.invalidate_caches()
        work = EvaluationWork(Evaluation(("mine",)), (scans / "head0.h5",), tmp_path / "out")
        return work.tasks[0].key

    package, about = tmp_path / "site" / "mri_mine", tmp_path / "site" / "mine.dist-info"
    package.mkdir(parents=True), about.mkdir()
    card = dict.fromkeys(("title", "group", "paper", "summary"), "Mine")
    card |= {"family": "mri_mine.net:Mine", "needs_training": False}
    (package / "__init__.py").write_text(f"CARD = {card!r}")
    (package / "net.py").write_text("STEP = 1")
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[mri_workstation.models]\nmine = mri_mine:CARD\n")
    monkeypatch.syspath_prepend(package.parent)
    try:
        first = key()
        assert key() == first
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 2.0\n")
        second = key()
        (package / "net.py").write_text("STEP = 2")  # as of an editable install
        assert len({first, second, key()}) == 3
    finally:
        models._cards.cache_clear()


def test_journal_survives_a_crash_at_any_byte(tmp_path):
    rows = [{"key": str(number), "status": "done", "text": "grün ∞", "value": float("inf")} for number in range(3)]
    journal = Journal(tmp_path)
    for row in rows:
        journal.append(row)
    path = tmp_path / "part-0000.jsonl"
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        kept = journal.read()
        assert list(kept.values()) == rows[: len(kept)]
        assert len(kept) >= whole[:length].count(b"\n")
        journal.append({"key": "new", "status": "failed"})
        assert journal.read() == kept | {"new": {"key": "new", "status": "failed"}}
    journal.append({"key": "new", "status": "done"})
    journal.append({"key": "new", "status": "failed"})
    assert journal.read()["new"]["status"] == "done"
    (tmp_path / "notes.txt").write_text("mine")
    journal.remove()
    assert [one.name for one in tmp_path.iterdir()] == ["notes.txt"]


# ---- what goes wrong ----------------------------------------------------------------------------------------------


def test_what_fails_is_a_row_with_its_reason(scans, tmp_path, caplog, no_figures):
    damaged, unreferenced = tmp_path / "damaged.h5", tmp_path / "unreferenced.h5"
    shutil.copy(scans / "head0.h5", damaged)
    with h5py.File(damaged, "r+") as file:
        file["kspace"][1] = np.nan
    shutil.copy(scans / "head0.h5", unreferenced)
    with h5py.File(unreferenced, "r+") as file:
        for name in [name for name in file if name.startswith("reconstruction")]:
            del file[name]
        mask = np.zeros(SIZE, np.float32)
        mask[12:20] = mask[::4] = 1
        file["kspace"][:] = file["kspace"][()] * mask
        file["mask"] = mask
    (tmp_path / "notes.h5").write_text("no scan")
    paths = [damaged, unreferenced, tmp_path / "notes.h5", scans / "head1.h5"]
    out = tmp_path / "out"
    work, status = evaluate(paths, out, "zero-filled", "pcrnn-b", accelerations=(4.0, 8.0))
    assert status == 2
    lines = [line for line in read(out / "scores.csv") if line["level"] == "volume"]
    found = {(line["volume"], line["method"], line["acceleration"]): line for line in lines}
    assert len(lines) == len(found)
    assert found["head1", "zero-filled", "8"]["status"] == "done"
    for acceleration in ("4", "8"):
        assert "slice 1" in found["damaged", "zero-filled", acceleration]["reason"]
        assert "no weights" in found["head1", "pcrnn-b", acceleration]["reason"]
        assert found["notes.h5", "zero-filled", acceleration]["status"] == "failed"
    skipped = [line for line in lines if line["volume"] == "unreferenced"]
    assert {line["status"] for line in skipped} == {"skipped"}
    assert all("no fully sampled reference" in line["reason"] for line in skipped)
    assert {line["psnr"] for line in lines if line["status"] != "done"} == {""}
    assert "damaged" in caplog.text and "notes.h5" in caplog.text
    page = (out / "summary.md").read_text()
    assert "## Without a score" in page
    assert "1 of 4 volumes scored" in page
    # What is wrong with a file, or with a model, is said once, and what it concerns.
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 4
    assert (
        sum("no weights" in line and line.endswith("(damaged, head1; pcrnn-b; 4 scores missing).") for line in said)
        == 1
    )
    assert sum(line.endswith("(unreferenced; zero-filled, pcrnn-b; 4 scores missing).") for line in said) == 1
    assert sum("notes.h5" in line and line.endswith("(zero-filled, pcrnn-b; 4 scores missing).") for line in said) == 1
    assert sum("slice 1" in line and "zero-filled; 2 scores missing" in line for line in said) == 1
    table = page.partition("## Without a score")[2].partition("##")[0]
    assert table.count("no weights") == 1 and table.count("| failed |") + table.count("| skipped |") == 4
    # Once the file is mended, the same command fills the gap and does nothing twice.
    again, _ = evaluate(paths, out, "zero-filled", "pcrnn-b", accelerations=(4.0, 8.0))
    assert again.n_reused >= work.n_reused > 0


def test_nothing_scored_is_a_failure(scans, tmp_path):
    _, status = evaluate([tmp_path / "missing.h5"], tmp_path / "out")
    assert status == 2
    [line] = read(tmp_path / "out" / "scores.csv")
    assert "no such file" in line["reason"]
    assert not list((tmp_path / "out").glob("*.png"))


def test_a_file_that_is_named_twice_is_one_sample(scans, tmp_path, no_figures):
    work, _ = evaluate([scans / "head0.h5", scans / "head0.h5"], tmp_path, slices="0", masked=False)
    assert len(work.tasks) == 1


def test_single_coil_scans_are_not_masked_and_say_so(tmp_path, no_figures):
    path = phantom.write(tmp_path / "one.h5", phantom.PhantomSpec(n_slices=1, n_coils=1, matrix=(SIZE, SIZE)))
    mask, reason = Support(recon.open_study(path).series[0]).volume((0,))
    assert mask is None
    assert "single coil" in reason
    evaluate([path], tmp_path / "out")
    line = read(tmp_path / "out" / "scores.csv")[0]
    assert line["psnr"] and not line["psnr_masked"]
    assert "single coil" in line["reason"]
    assert "No masked scores for 1" in (tmp_path / "out" / "summary.md").read_text()


def test_joined_coils_are_a_second_row_of_single_coil_networks_alone(scans, tmp_path, no_figures):
    entries, changes = ("cs-tv:n_iterations=2", "unet-fastmri"), {"slices": "0", "masked": False, "maps": "walsh"}
    changes |= {"center_fraction": 0.2, "join_coils": 0.02}
    work, status = evaluate([scans / "head0.h5"], tmp_path, *entries, **changes)
    assert status == 0
    scores = {line["method"]: line for line in read(tmp_path / "scores.csv") if line["level"] == "volume"}
    assert list(scores) == ["cs-tv:n_iterations=2", "unet-fastmri", "unet-fastmri, joined"]
    assert scores["unet-fastmri, joined"]["parameters"] == "join_coils=0.02"
    series = work.collection.volumes[0].series
    alone, joined = (
        recon.run(series, next(task.request for task in work.tasks if task.names["method"] == name), keep="none")
        for name in ("unet-fastmri", "unet-fastmri, joined")
    )
    for name, result in (("unet-fastmri", alone), ("unet-fastmri, joined", joined)):
        first = metrics.psnr(result.reference[:1], result.final[:1])
        assert float(scores[name]["psnr"]) == pytest.approx(first, abs=1e-3)
    assert scores["unet-fastmri"]["psnr"] != scores["unet-fastmri, joined"]["psnr"]


def test_a_scan_with_nothing_to_join_is_said(scans, tmp_path, no_figures, caplog):
    one = phantom.write(tmp_path / "one.h5", phantom.PhantomSpec(n_slices=1, n_coils=1, matrix=(SIZE, SIZE)))
    changes = {"masked": False, "center_fraction": 0.2, "slices": "0", "join_coils": 0.02}
    evaluate([scans / "head0.h5", one], tmp_path / "mixed", "unet-fastmri", **changes)
    lines = [line for line in read(tmp_path / "mixed" / "scores.csv") if line["level"] == "volume"]
    assert [(line["volume"], line["method"], line["status"]) for line in lines] == [
        ("head0", "unet-fastmri", "done"),
        ("head0", "unet-fastmri, joined", "done"),
        ("one", "unet-fastmri", "done"),
        ("one", "unet-fastmri, joined", "skipped"),
    ]
    assert lines[-1]["reason"] == "there is one coil, so there is nothing to join."
    assert "nothing to join" in (tmp_path / "mixed" / "summary.md").read_text()
    assert "so nothing is joined" not in caplog.text
    evaluate([scans / "head0.h5"], tmp_path / "none", "zero-filled", **changes)
    assert "none of the methods takes the coils of any scan one by one, so nothing is joined." in caplog.text


def test_a_method_is_compared_with_itself(scans, tmp_path, no_figures):
    entries = ("cs-tv:lambda=0.01,n_iterations=3", "cs-tv:lambda=0.5,n_iterations=3")
    changes = {"slices": "0", "masked": False, "maps": "walsh", "center_fraction": 0.2}
    assert evaluate([scans / "head0.h5"], tmp_path, *entries, **changes)[1] == 0
    scores = {line["method"]: line for line in read(tmp_path / "scores.csv") if line["level"] == "volume"}
    assert set(scores) == set(entries)
    mask = MaskSpec("equispaced-fraction", 4, 0.2, "filename")
    request = Request("cs-tv", mask, (0,), maps="walsh", overrides={"lambda_": 0.5, "n_iterations": 3})
    result = recon.run(recon.open_study(scans / "head0.h5").series[0], request)
    found = [float(scores[entry]["psnr"]) for entry in entries]
    assert found[1] == pytest.approx(metrics.psnr(result.reference, result.final), abs=1e-3)
    assert abs(found[0] - found[1]) > 0.1


# ---- coil study ---------------------------------------------------------------------------------------------------


def test_coil_study(scans, tmp_path, no_figures):
    changes = {
        "coil_study": (1, 2, 3, 4, 9),
        "slices": "1",
        "precision": "fp32",
        "masked": False,
        "accelerations": (8.0,),
    }
    spec = phantom.PhantomSpec(n_slices=2, n_coils=6, matrix=(SIZE, SIZE))
    more = phantom.write(tmp_path / "more.h5", spec)
    _, status = evaluate([scans / "head0.h5", more], tmp_path, "zero-filled", "pcrnn-s", **changes)
    assert status == 0
    lines = read(tmp_path / "coil_compression.csv")
    done = [line for line in lines if line["volume"] == "head0" and line["status"] == "done"]
    assert [line["n_virtual_coils"] for line in done] == ["1", "2", "3"]
    assert {(line["volume"], line["n_coils"]) for line in lines} == {("head0", "4"), ("more", "6")}
    scores = [float(line["psnr"]) for line in done]
    assert scores == sorted(scores) and scores[0] < scores[-1]
    series = recon.open_study(scans / "head0.h5").series[0]
    kspace = series.read(1).kspace
    compressed, _ = coils.compress(kspace, 2)
    images = [coils.root_sum_of_squares(recon.fourier.ifft2c(one)).numpy() for one in (kspace, compressed)]
    assert float(done[1]["ssim"]) == pytest.approx(metrics.ssim(*images), abs=1e-5)
    assert "compress nothing" in next(line["reason"] for line in lines if line["n_virtual_coils"] == "9")
    rows = {
        (line["volume"], line["method"]): line
        for line in read(tmp_path / "scores.csv") if line["level"] == "volume"
    }  # fmt: skip
    status = {names: line["status"] for names, line in rows.items()}
    for method in ("zero-filled (own coils)", "zero-filled (2 coils)", "pcrnn-s (own coils)"):
        assert status["head0", method] == status["more", method] == "done"
    # Four coils out of four would be the coils as they are once more; out of six they are compressed.
    for method in ("zero-filled (4 coils)", "pcrnn-s (4 coils)"):
        assert (status["head0", method], status["more", method]) == ("skipped", "done")
        assert rows["head0", method]["reason"] == "the scan has 4 coils; 4 would compress nothing."
        assert rows["head0", method]["psnr"] == ""
    for method in ("zero-filled (9 coils)", "pcrnn-s (9 coils)", "pcrnn-s (3 coils)"):
        assert status["head0", method] == status["more", method] == "skipped"
    means = {line["method"]: line["n 8X"] for line in read(tmp_path / "summary.csv") if line["sequence"] == "All"}
    assert (means["zero-filled (3 coils)"], means["zero-filled (4 coils)"]) == ("2", "1")
    assert "zero-filled (9 coils)" not in means
    assert "Virtual coils" in (tmp_path / "summary.md").read_text()


# ---- memory -------------------------------------------------------------------------------------------------------


def test_peak_memory_is_measured_anew_each_time():
    def peak(n_bytes):
        with PeakMemory("cpu") as memory:
            np.ones(n_bytes, np.uint8).sum()
        return memory.gigabytes

    if peak(1) is None:
        pytest.skip("this system does not let the peak be measured again")
    assert peak(100 * 2**20) - peak(1) > 0.08


def test_what_a_method_needs_is_said_once_for_each_task(scans, tmp_path, monkeypatch, caplog, no_figures):
    monkeypatch.setattr(memory, "_WORTH_SAYING_BYTES", 1)
    evaluate([scans / "head0.h5"], tmp_path, "cg-sense", accelerations=(2.0, 3.0), center_fraction=0.25)
    assert sum(" needs about " in record.getMessage() for record in caplog.records) == 2


def test_every_volume_that_fails_is_named(scans, tmp_path, monkeypatch, caplog, no_figures):
    def fail(*_arguments, **_options):
        raise DeviceError("the device is lost.")

    monkeypatch.setattr(pipeline.Plan, "run", fail)
    evaluate([scans / "head0.h5", scans / "head1.h5"], tmp_path / "out", "zero-filled", accelerations=(4.0, 8.0))
    said = sorted(record.getMessage() for record in caplog.records if "the device is lost" in record.getMessage())
    assert [line.partition("(")[2] for line in said] == [
        "head0, head1; zero-filled; 4 scores missing).",
    ]
