"""`models`: list, show, install, verify."""

import json
import shutil
from pathlib import Path

import recon
from recon import models, weights
from recon.weights import read_header, retell

WEIGHTS = Path(recon.__file__).parent.parent / "resources" / "weights"


def test_models_are_listed(run):
    status, out, _ = run("models", "list")
    assert status == 0
    for name in ("zero-filled", "pcrnn-s", "oucr"):
        assert f"\n{name} " in out
    cards = json.loads(run("models", "list", "--json")[1])
    assert {"name", "title", "paper", "parameters", "weights", "available"} <= cards[0].keys()


def test_a_file_of_weights_is_shown_before_it_is_installed(run, tmp_path):
    file = tmp_path / "theirs.safetensors"
    shutil.copyfile(WEIGHTS / "vn-4coil.safetensors", file)
    status, out, _ = run("models", "show", str(file))
    assert status == 0
    assert out.startswith(f"weights {file} of Variational network (vn)")
    assert "48 filters" in out
    assert "real_brain_16ch_gre" in out
    assert json.loads(run("models", "show", str(file), "--json")[1])["preset"] == "vn"
    file.write_bytes(file.read_bytes()[:100])
    status, _, err = run("models", "show", str(file))
    assert status != 0
    assert str(file) in err


def test_model_is_shown(run):
    status, out, _ = run("models", "show", "oucr")
    assert status == 0
    assert "OUCR" in out
    assert "parameters" in out
    assert "hard, what was measured stays" in out
    assert json.loads(run("models", "show", "pcrnn", "--json")[1])["name"] == "pcrnn-s"
    status, _, err = run("models", "show", "ourc")
    assert status == 2
    assert "did you mean oucr" in err


def test_weights_are_installed_and_verified(run, weights_file):
    status, out, _ = run("models", "install", weights_file, "--json")
    assert status == 0
    installed = Path(json.loads(out)["installed"])
    assert installed.read_bytes() == weights_file.read_bytes()
    assert "ready" in next(line for line in run("models", "list")[1].splitlines() if line.startswith("pcrnn-1x "))
    status, out, _ = run("models", "verify", installed)
    assert status == 0
    assert out.startswith("ok")
    assert run("models", "install", installed)[0] == 0
    assert installed.exists()


def test_other_weights_of_a_name_are_spared(run, weights_file):
    model = models.create("pcrnn-1x", 1)
    story = dict(read_header(weights_file).story)
    installed = Path(json.loads(run("models", "install", weights_file, "--json")[1])["installed"])
    before = installed.read_bytes()
    weights.save(weights_file, model.state_dict(), story)
    status, _, err = run("models", "install", weights_file)
    assert status == 2 and str(installed) in err and "--replace" in err
    assert installed.read_bytes() == before
    assert run("models", "install", weights_file, "--replace")[0] == 0
    assert installed.read_bytes() == weights_file.read_bytes() != before
    # What cannot be used is nobody's loss.
    installed.write_bytes(b"cut")
    assert run("models", "install", weights_file)[0] == 0


def test_weights_that_are_worse_than_none_are_installed_with_a_warning(run, weights_file):
    assert run("models", "install", weights_file)[2] == ""
    known = read_header(weights_file)
    retell(known, {**known.story, "validation": {"psnr": 23.69, "zero_filled_psnr": 25.0}})
    status, out, err = run("models", "install", weights_file, "--json")
    assert status == 0
    assert "1.31 dB worse than zero-filled: worse than no network" in err
    assert json.loads(out)["warning"] in err


def test_damaged_weights_are_neither_installed_nor_verified(run, weights_file):
    content = bytearray(weights_file.read_bytes())
    content[-1] ^= 1
    weights_file.write_bytes(content)
    status, out, err = run("models", "install", weights_file)
    assert (status, out) == (2, "")
    assert "SHA-256" in err
    assert not any(str(path).endswith(".safetensors") for path in recon.weights.user_folder().glob("*"))
    status, out, _ = run("models", "verify", weights_file, "--json")
    assert status == 2
    assert json.loads(out)[0]["ok"] is False


def test_bundled_weights_are_whole(run):
    status, out, _ = run("models", "verify", "--json")
    assert (status, [item["file"] for item in json.loads(out) if not item["ok"]]) == (0, [])


def test_the_size_of_the_weights_stands_beside_that_of_the_paper(run):
    note = "these weights: 48 filters, 131,050 parameters; the paper's have 480 filters."
    out = run("models", "list")[1]
    assert " 131,050 * " in next(line for line in out.splitlines() if line.startswith("vn "))
    assert f"* vn: {note}" in out
    assert "* pcrnn-s:" not in out
    shown = run("models", "show", "vn")[1]
    assert "1,310,410 parameters with 4 coils" in shown
    assert note in shown
    (weights,) = json.loads(run("models", "show", "vn", "--json")[1])["weights"]
    assert weights["n_parameters"] == 131050
    assert "1,589,314 parameters" in run("models", "show", "pcrnn-s")[1]
