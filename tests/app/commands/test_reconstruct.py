"""`reconstruct`: records and files, failures that stop nothing else, slice lists."""

import argparse
import csv
import json
import shutil

import h5py
import numpy as np
import pytest
from PIL import Image

import recon
from app import cli
from app.commands import reconstruct
from app.commands.reconstruct import formats, slice_list
from app.progress import Progress
from recon import phantom
from recon.batch import SliceList, distinct
from recon.errors import ExportError, RequestError
from recon.request import JOIN_WEIGHT


def test_record_and_files_of_a_reconstruction(run, scan, tmp_path):
    status, out, _ = run(
        "reconstruct", scan, "--model", "zero-filled", "--mask", "random", "--acceleration", 4, "--seed", 1,
        "--slices", "0:2", "--stages", "--format", "hdf5,dicom", "--format", "png,nifti", "--out", tmp_path, "--json",
    )  # fmt: skip
    assert status == 0
    [record] = json.loads(out)
    assert record["request"]["model"] == "zero-filled"
    assert record["request"]["mask"] == {
        "kind": "random", "acceleration": 4.0, "center_fraction": None, "seed": 1, "offset": None,
    }  # fmt: skip
    assert len(record["metrics"]["psnr"]["slices"]) == 2
    assert record["metrics"]["psnr"]["volume"] == pytest.approx(
        record["zero_filled_metrics"]["psnr"]["volume"], abs=1e-4
    )
    stem = "head.zero-filled"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"{stem}.dcm", f"{stem}.h5", f"{stem}.json", f"{stem}.nii.gz", f"{stem}.png",
    ]  # fmt: skip
    assert json.loads((tmp_path / f"{stem}.json").read_text()) == record
    assert set(record["files"]) == {f"{stem}{suffix}" for suffix in (".dcm", ".h5", ".nii.gz", ".png")}
    with h5py.File(tmp_path / f"{stem}.h5") as file:
        assert file["reconstruction"].shape == (2, 64, 64)
        assert file["reconstruction"].dtype == np.float32
    assert len(list((tmp_path / f"{stem}.dcm").iterdir())) == 2


def test_the_phase_is_stored_on_request(run, scan, tmp_path):
    wanted = ("reconstruct", scan, "--model", "zero-filled", "--slices", "0", "--format", "hdf5,dicom,nifti", "--json")
    status, out, _ = run(*wanted, "--phase", "--out", tmp_path)
    assert status == 0
    [record] = json.loads(out)
    assert record["request"]["phase"] is True
    stem = "head.zero-filled"
    endings = (".h5", ".dcm", ".phase.dcm", ".nii.gz", ".phase.nii.gz")
    assert record["files"] == [f"{stem}{ending}" for ending in endings]
    assert all((tmp_path / name).exists() for name in record["files"])
    with h5py.File(tmp_path / f"{stem}.h5") as file:
        assert file["phase"].shape == file["reconstruction"].shape
        assert 1 < np.abs(file["phase"][()]).max() <= np.pi + 1e-6


@pytest.mark.parametrize("has_reference", [True, False])
def test_scores_are_written_as_a_table(run, scan, tmp_path, has_reference):
    if not has_reference:
        (tmp_path / "scan").mkdir()
        scan = shutil.copy(scan, tmp_path / "scan")
        with h5py.File(scan, "r+") as file:
            columns = np.arange(file["kspace"].shape[-1])
            mask = (columns % 2 == 0) | (abs(columns - columns.mean()) < 12)
            file["mask"] = mask.astype(np.uint8)
            file["kspace"][:] = file["kspace"][:] * mask
            for name in [name for name in file if name.startswith("reconstruction")]:
                del file[name]
    wanted = ("reconstruct", scan, "--model", "cg-sense", "--slices", "0,2", "--format", "csv", "--phase", "--json")
    status, out, said = run(*wanted, "--mask", "random", "--center-fraction", 0.2, "--out", tmp_path)
    assert status == 0, said
    [record] = json.loads(out)
    assert record["files"] == ["head.cg-sense.csv"] and (record["metrics"] is not None) == has_reference
    with (tmp_path / "head.cg-sense.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["slice"] for row in rows] == ["0", "2", "volume"]
    for key, prefix in (("metrics", ""), ("zero_filled_metrics", "zero_filled_")):
        for metric in ("psnr", "ssim", "nmse"):
            cells = [row[f"{prefix}{metric}"] for row in rows]
            if has_reference:
                expected = [*record[key][metric]["slices"], record[key][metric]["volume"]]
                assert [float(cell) for cell in cells] == pytest.approx(expected, rel=1e-5)
            else:
                assert cells == [""] * 3
    residuals = record["data_residual"]
    assert [float(row["data_residual"]) for row in rows] == pytest.approx([*residuals, np.mean(residuals)], rel=1e-5)
    assert [row["zero_filled_data_residual"] for row in rows] == ["0"] * 3


def test_coils_are_joined_on_request(run, scan, tmp_path):
    wanted = ("reconstruct", scan, "--model", "unet-fastmri", "--center-fraction", 0.2, "--slices", "0", "--json")
    plain, joined, weighed = (
        json.loads(run(*wanted, *more, "--out", tmp_path / str(number))[1])[0]
        for number, more in enumerate(((), ("--join-coils",), ("--join-coils", 0.3)))
    )
    assert [one["request"]["join_coils"] for one in (plain, joined, weighed)] == [None, JOIN_WEIGHT, 0.3]
    assert len({one["metrics"]["psnr"]["volume"] for one in (plain, joined, weighed)}) == 3
    status, _, said = run(*wanted, "--join-coils", 0, "--out", tmp_path / "none")
    assert status == 2
    assert "join_coils is 0; it must be above 0" in said
    status, _, said = run("reconstruct", "--model", "unet-fastmri", "--join-coils", scan, "--out", tmp_path / "none")
    assert status == 2
    assert "is no weight; write the option behind the files, or a weight with it: --join-coils=0.01" in said


def test_a_warning_is_said_once_however_many_models_and_files_have_it(run, scan, tmp_path):
    with h5py.File(scan) as file:
        kspace, attributes = file["kspace"][:1], dict(file.attrs)
    mask = np.zeros(64, np.float32)
    mask[24:40] = mask[::4] = 1
    for name in ("a", "b", "c", "d"):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["kspace"], file["mask"] = kspace * mask, mask
            file.attrs.update(attributes)
    words = ["reconstruct", "--model", "zero-filled", "--model", "cg-sense", "--json"]
    status, out, err = run(*words, "--out", tmp_path / "one", tmp_path / "a.h5")
    assert status == 0
    first, second = (record["warnings"] for record in json.loads(out))
    common = [warning for warning in first if warning in second]
    assert len(common) == 4
    for warning in common:
        assert err.splitlines().count(f"mri-workstation: {tmp_path / 'a.h5'}: {warning}") == 1
        assert err.count(warning.rstrip(".")) == 1
    status, out, err = run(*words, "--out", tmp_path / "many", *sorted(tmp_path.glob("?.h5")))
    assert status == 0
    for warning in common:
        assert f"mri-workstation: {warning.rstrip('.')} (a.h5, b.h5 and 2 more files)." in err.splitlines()
        assert err.count(warning.rstrip(".")) == 1
        assert all(warning in record["warnings"] for record in json.loads(out))


def test_summary_for_people(run, scan, tmp_path):
    status, out, _ = run("reconstruct", scan, "--model", "zero-filled", "--out", tmp_path)
    assert status == 0
    assert "PSNR" in out
    assert "head.zero-filled.h5" in out
    assert run("reconstruct", scan, "--model", "zero-filled", "--out", tmp_path, "--quiet")[1:] == ("", "")


def test_failing_volume_does_not_stop_the_others(run, scan, tmp_path):
    bad = tmp_path / "bad.h5"
    bad.write_bytes(scan.read_bytes())
    with h5py.File(bad, "r+") as file:
        file["kspace"][:] = np.nan
    missing = tmp_path / "missing.h5"
    out_folder = tmp_path / "out"
    status, out, err = run("reconstruct", bad, missing, scan, "--model", "zero-filled", "--out", out_folder, "--json")
    assert status == 2
    assert [record["input"] for record in json.loads(out)] == ["head.h5"]
    errors = [line for line in err.splitlines() if "error" in line]
    assert len(errors) == 2
    assert any(str(bad) in line and "NaN" in line for line in errors)
    assert any(str(missing) in line for line in errors)
    assert sorted(path.name for path in out_folder.iterdir()) == ["head.zero-filled.h5", "head.zero-filled.json"]


def test_an_error_names_the_scan_of_its_file(run, tmp_path):
    nibabel = pytest.importorskip("nibabel")
    volumes = np.random.default_rng(0).random((20, 24, 2, 2), np.float32)
    volumes[:, :, 1, 1] = np.nan
    path = tmp_path / "head.nii"
    nibabel.save(nibabel.Nifti1Image(volumes, np.eye(4)), path)
    for model, parts in (("zero-filled", {"volume 2 of 2"}), ("grappa", {"volume 1 of 2", "volume 2 of 2"})):
        _, _, err = run("reconstruct", path, "--model", model, "--acceleration", 8, "--out", tmp_path / "out")
        errors = [line.partition("error: ")[2] for line in err.splitlines() if "error: " in line]
        assert {line.partition(": ")[0] for line in errors} == {f"{path} · {part}" for part in parts}


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_bad_slice_does_not_lose_the_others(run, scan, tmp_path, processes):
    bad = tmp_path / "bad.h5"
    bad.write_bytes(scan.read_bytes())
    with h5py.File(bad, "r+") as file:
        n_slices = len(file["kspace"])
        file["kspace"][1, 0, 5, 5] = np.nan
    words = ("reconstruct", bad, "--model", "zero-filled", "--model", "cg-sense", "--center-fraction", 0.2)
    status, out, err = run(*words, "--processes", processes, "--out", tmp_path / "out", "--json")
    assert status == 2
    assert len(json.loads(out)) == 2
    for record in json.loads(out):
        assert record["slices"] == [index for index in range(n_slices) if index != 1]
        told = "slice 1 (counted from 0) was left out: it holds 1 of "
        assert any(warning.startswith(told) for warning in record["warnings"])
    if processes == 1:  # others write to stderr themselves
        said = [line for line in err.splitlines() if "slice 1" in line]
        assert len(said) == 2  # an error for each model
        assert all(f"error: {bad}: slice 1" in line for line in said)


def test_an_interrupt_leaves_what_is_whole_and_nothing_else(run, scan, tmp_path, monkeypatch):
    real, calls = recon.pipeline.Plan.run, []

    def interrupt(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(recon.pipeline.Plan, "run", interrupt)
    words = ["reconstruct", scan, scan, scan, "--model", "zero-filled", "--slices", 0, "--out", tmp_path, "-q"]
    assert run(*words) == (130, "", "mri-workstation: interrupted\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["head.zero-filled.h5", "head.zero-filled.json"]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError(), "the memory of this machine ran out; reconstruct fewer slices or use a smaller model."),
        (ModuleNotFoundError("no", name="nibabel.spm"), "this needs the Python package nibabel, which is not"),
        (ValueError("seven"), "unexpected ValueError: seven"),
    ],
)
def test_what_nobody_expected_is_said_in_a_sentence(run, scan, tmp_path, monkeypatch, capsys, error, sentence):
    def fail(*_arguments, **_options):
        raise error

    monkeypatch.setattr(recon.pipeline.Plan, "run", fail)
    words = ["reconstruct", scan, "--model", "zero-filled", "--out", tmp_path]
    status, _, err = run(*words)
    assert status == 1
    [line] = err.splitlines()
    assert line.startswith(f"mri-workstation: error: {scan}: {sentence}")
    assert cli.main([*map(str, words), "-v"]) == 1
    said = capsys.readouterr().err
    assert said.index("Traceback") < said.index(line)


def test_progress_counts_slices_and_names_stages(run, scan, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(Progress, "update", lambda _, text, share: shown.append((text, share)))
    long = phantom.write(tmp_path / "long.h5", phantom.PhantomSpec(n_slices=6, n_coils=1, matrix=(32, 32)))
    words = ["reconstruct", scan, long, "--model", "zero-filled", "--slices", "0:5", "--out", tmp_path / "out"]
    assert run(*words)[0] == 0
    texts, shares = zip(*shown, strict=True)
    assert list(shares) == sorted(shares)
    assert shares[texts.index("long · zero-filled")] == pytest.approx(3 / 8)
    assert shares[-1] == 1
    assert "head · zero-filled · slice 2 · zero-filled" in texts


def test_volumes_of_one_name_do_not_overwrite_each_other(run, scan, tmp_path):
    other = tmp_path / "other" / scan.name
    other.parent.mkdir()
    other.write_bytes(scan.read_bytes())
    out_folder = tmp_path / "out"
    status, out, _ = run(
        "reconstruct", scan, other, "--model", "zero-filled", "--slices", 0, "--out", out_folder, "--json"
    )
    assert status == 0
    assert [record["name"] for record in json.loads(out)] == ["head.zero-filled", "head-2.zero-filled"]
    assert {path.name for path in out_folder.glob("*.h5")} == {"head.zero-filled.h5", "head-2.zero-filled.h5"}


def test_weights_of_one_name_do_not_overwrite_each_other(run, scan, tmp_path, weights_file):
    own = []
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        own.append(shutil.copy(weights_file, tmp_path / folder / "mine.safetensors"))
    out = tmp_path / "out"
    status, _, _ = run("reconstruct", scan, "--model", own[0], "--model", own[1], "--slices", 0, "--out", out)
    assert status == 0
    records = [json.loads((out / f"head.{name}.json").read_text()) for name in ("mine", "mine-2")]
    assert [record["request"]["model"] for record in records] == [str(path) for path in own]
    assert [record["files"] for record in records] == [["head.mine.h5"], ["head.mine-2.h5"]]


def test_scans_of_one_name_are_told_apart_by_where_they_are(run, scan, tmp_path):
    for name in ("a/head.h5", "b/head.h5", "b/neck.h5"):
        (tmp_path / "study" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "study" / name).write_bytes(scan.read_bytes())
    words = [
        "--model",
        "zero-filled",
        "--model",
        "cs-tv",
        "--set",
        "n_iterations=2",
        "--slices",
        0,
        "--center-fraction",
        0.15,
    ]
    status, out, err = run("reconstruct", tmp_path / "study", *words, "--out", tmp_path / "out")
    assert status == 0, err
    rows = [line.split()[:2] for line in out.splitlines()[2:8]]
    names = ["a/head.h5", "b/head.h5", "neck.h5"]
    assert rows == [[name, model] for name in names for model in ("zero-filled", "cs-tv")]
    for name in names:
        assert f"{name}, cs-tv: n_iterations 2 (set by the user)" in out


def test_reconstruction_again_replaces_the_files(run, scan, tmp_path):
    words = ["reconstruct", scan, "--model", "zero-filled", "--format", "hdf5,dicom", "--out", tmp_path, "--slices"]
    assert run(*words, "0:3")[0] == 0
    assert run(*words, "1")[0] == 0
    with h5py.File(tmp_path / "head.zero-filled.h5") as file:
        assert file["reconstruction"].shape[0] == 1
    assert len(list((tmp_path / "head.zero-filled.dcm").iterdir())) == 1
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["--center-fraction", "0.5", "--acceleration", "4"], 2, "leaves no samples"),
        (["--acceleration", "0.5"], 2, "must lie between 1 and"),
        (["--mask", "spiral"], 2, "spiral"),
        (["--mask", "file:nowhere.npy"], 2, "nowhere.npy"),
        (["--model", "pcrn-s"], 2, "did you mean pcrnn-s"),
        (["--model", "nowhere.safetensors"], 2, "nowhere.safetensors"),
        (["--slices", "7"], 2, "slices 0 to 2"),
        (["--slices", "5:9"], 2, "names none"),
        (["--coils", "0"], 2, "virtual coil"),
        (["--device", "abacus"], 2, "device 'abacus' is unknown; choose auto, cpu"),
        (["--device", "meta"], 2, "device 'meta' is not supported"),
        (["--device", "cuda:99"], 1, "cuda:99"),
        (["--seed", "-3"], 2, "-3"),
    ],
)
def test_impossible_requests_are_refused_in_a_sentence(run, scan, tmp_path, words, status, text):
    model = [] if "--model" in words else ["--model", "zero-filled"]
    found, out, err = run("reconstruct", scan, *model, *words, "--out", tmp_path / "out")
    assert (found, out) == (status, "")
    assert text in err
    assert len([line for line in err.splitlines() if "error:" in line]) == 1
    assert not list(tmp_path.glob("out/*"))


def test_folder_that_cannot_be_written_is_refused_before_the_work(run, scan, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(recon.pipeline.Plan, "run", lambda *_, **__: pytest.fail("the work was begun"))
    status, out, err = run("reconstruct", scan, "--model", "zero-filled", "--out", tmp_path / "file")
    assert (status, out) == (1, "")
    assert str(tmp_path / "file") in err


def test_full_disk_is_said_and_leaves_nothing(run, scan, tmp_path, monkeypatch):
    from recon.export import hdf5

    def full(result, path, **_):
        raise ExportError(f"{path}: the disk is full.")

    monkeypatch.setattr(hdf5, "write", full)
    status, _, err = run("reconstruct", scan, "--model", "zero-filled", "--out", tmp_path)
    assert status == 1
    assert "the disk is full" in err
    assert list(tmp_path.iterdir()) == []


def test_mask_from_a_file(run, scan, tmp_path):
    mask = np.zeros(64, bool)
    mask[24:40] = True
    np.save(tmp_path / "mask.npy", mask)
    status, out, _ = run(
        "reconstruct",
        scan,
        "--model",
        "zero-filled",
        "--mask",
        f"file:{tmp_path / 'mask.npy'}",
        "--out",
        tmp_path,
        "--json",
    )
    assert status == 0
    assert json.loads(out)[0]["sampling"]["effective_acceleration"] == 4


@pytest.mark.parametrize(
    ("text", "indices"),
    [
        ("0:10", (0, 1, 2, 3, 4)),
        ("3", (3,)),
        ("-1", (4,)),
        ("4,0,2:4", (4, 0, 2, 3)),
        ("::2", (0, 2, 4)),
        ("1,1,0:2", (1, 0)),
    ],
)
def test_slice_lists(scan, text, indices):
    series = recon.open_study(phantom.write(scan.with_name("five.h5"), phantom.PhantomSpec(5, 1, (32, 32)))).series[0]
    assert SliceList(text).resolve(series) == indices


@pytest.mark.parametrize("text", ["", "a", "1:b", "1:2:3:4", "0:4:0", "1,,2"])
def test_what_is_no_slice_list(text):
    with pytest.raises(argparse.ArgumentTypeError, match="no list of slices"):
        slice_list(text)


def test_single_slice_must_exist(scan):
    with pytest.raises(RequestError, match="does not exist"):
        SliceList("3").resolve(recon.open_study(scan).series[0])


@pytest.mark.parametrize(
    ("names", "result"),
    [
        (["a", "b"], ["a", "b"]),
        (["a", "a", "a"], ["a", "a-2", "a-3"]),
        (["a", "a", "a-2"], ["a", "a-3", "a-2"]),
        (["Scan", "scan"], ["Scan", "scan-2"]),
    ],
)
def test_distinct_names(names, result):
    assert distinct(names) == result


def test_a_movie_shows_the_iterations_without_storing_them(run, scan, tmp_path):
    words = ["--set", "n_iterations=20", "--slices", "0:2", "--out", tmp_path, "--format", "movie,h5", "--json"]
    status, out, err = run("reconstruct", scan, "--model", "cs-tv", *words)
    assert status == 0, err
    (record,) = json.loads(out)
    assert record["files"] == ["head.cs-tv.h5", "head.cs-tv.iterations.gif", "head.cs-tv.slices.gif"]
    with Image.open(tmp_path / "head.cs-tv.iterations.gif") as movie:
        assert movie.n_frames > 3
    with h5py.File(tmp_path / "head.cs-tv.h5") as file:
        assert "stages" not in file


def test_a_movie_of_a_single_image_is_refused_and_the_other_method_goes_on(run, scan, tmp_path):
    words = ["--slices", "1", "--out", tmp_path, "--format", "movie,csv", "--set", "n_iterations=20"]
    status, _, err = run("reconstruct", scan, "--model", "zero-filled", "--model", "cs-tv", *words)
    assert status == 2
    assert "head.zero-filled: nothing moves in a single image" in err and "--stages" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "head.cs-tv.csv", "head.cs-tv.iterations.gif", "head.cs-tv.json", "head.zero-filled.csv",
        "head.zero-filled.json",
    ]  # fmt: skip


def test_formats_have_short_names():
    assert formats("h5, DCM,png,gif") == ["hdf5", "dicom", "png", "movie"]
    assert set(reconstruct.FORMATS) == set(recon.result.FORMATS)
