"""Weights files: a round trip, and everything that can be wrong with a file from a stranger."""

from __future__ import annotations

import json
import os

import pytest
import torch
from safetensors.torch import load_file, save_file

from recon import models, weights
from recon.errors import ModelError
from recon.models.fit import weights_by_coils

PARAMETERS = {"modules": ["4x"], "widths": [6], "refine_width": 4, "n_iterations": 2}


@pytest.fixture
def stored(tmp_path):
    torch.manual_seed(0)
    model = models.create("pcrnn-4x", 2, **PARAMETERS)
    story = {"preset": "pcrnn-4x", "n_coils": 2, "parameters": PARAMETERS, "steps": 1}
    return model, weights.save(tmp_path / "small.safetensors", model.state_dict(), story)


def test_round_trip(stored):
    model, saved = stored
    loaded = models.load(str(saved.path))
    assert loaded.n_coils == 2
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


def test_the_format_is_safetensors(stored, tmp_path):
    model, saved = stored
    theirs = load_file(saved.path)
    assert theirs.keys() == model.state_dict().keys()
    assert all(torch.equal(theirs[name], tensor) for name, tensor in model.state_dict().items())
    save_file(model.state_dict(), tmp_path / "foreign.safetensors")
    with pytest.raises(ModelError, match="does not say what it is"):
        weights.read_header(tmp_path / "foreign.safetensors")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int32])
def test_types(tmp_path, dtype):
    tensors = {"a": torch.arange(6).reshape(2, 3).to(dtype), "empty": torch.empty(0, dtype=dtype)}
    story = {"preset": "x", "n_coils": 1, "parameters": {}}
    loaded = weights.load_tensors(weights.save(tmp_path / "t.safetensors", tensors, story))
    assert all(torch.equal(loaded[name], tensor) and loaded[name].dtype == dtype for name, tensor in tensors.items())


def test_bytes_without_their_scales_name_the_file(tmp_path):
    story = {"preset": "x", "n_coils": 1, "parameters": {}}
    saved = weights.save(tmp_path / "odd.safetensors", {"a": torch.ones(4, 4, dtype=torch.int8)}, story)
    with pytest.raises(ModelError, match=r"odd\.safetensors.*without scales that fit"):
        weights.load_tensors(saved)


def test_a_changed_number_is_found(stored):
    _, saved = stored
    data = bytearray(saved.path.read_bytes())
    data[-3] ^= 1
    saved.path.write_bytes(data)
    with pytest.raises(ModelError, match="SHA-256"):
        models.load(str(saved.path))


@pytest.mark.parametrize("keep", [0, 4, 8, 200, -1, -100])
def test_a_cut_file_is_found(stored, keep):
    _, saved = stored
    saved.path.write_bytes(saved.path.read_bytes()[:keep])
    with pytest.raises(ModelError):
        models.load(str(saved.path))


def test_no_byte_can_make_reading_fail_in_another_way(stored):
    _, saved = stored
    original = saved.path.read_bytes()
    generator = torch.Generator().manual_seed(1)
    for _ in range(150):
        data = bytearray(original)
        for position in torch.randint(len(data) // 3, (4,), generator=generator).tolist():
            data[position] = int(torch.randint(256, (1,), generator=generator))
        saved.path.write_bytes(data)
        try:
            models.load(str(saved.path))
        except ModelError as error:
            assert str(saved.path) in str(error) or "family" in str(error) or "model" in str(error)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_coils": 4}, "do not fit"),
        ({"preset": "nothing"}, "no model 'nothing'"),
        ({"parameters": {**PARAMETERS, "widths": [7]}}, "do not fit"),
        ({"parameters": {**PARAMETERS, "trick": 1}}, "no parameter 'trick'"),
        ({"parameters": []}, "damaged"),
        ({"n_coils": "many"}, "damaged"),
    ],
)
def test_a_story_that_does_not_fit_is_refused(stored, change, words):
    model, saved = stored
    story = {key: value for key, value in saved.story.items() if key != "sha256"} | change
    with pytest.raises(ModelError, match=words):
        models.load(str(weights.save(saved.path, model.state_dict(), story).path))


def test_huge_headers_and_lying_offsets_are_refused(tmp_path):
    path = tmp_path / "bad.safetensors"
    path.write_bytes((2**40).to_bytes(8, "little") + b"{}")
    with pytest.raises(ModelError, match="cut off"):
        weights.read_header(path)
    header = json.dumps({"a": {"dtype": "F32", "shape": [10], "data_offsets": [0, 40]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(ModelError, match="outside the file"):
        weights.read_header(path)


def test_the_latest_installed_weights_are_preferred(stored, tmp_path, monkeypatch):
    _, saved = stored
    folder = tmp_path / "installed"
    folder.mkdir()
    monkeypatch.setenv("MRI_WORKSTATION_WEIGHTS", str(folder))
    bundled = models.get_card("pcrnn-s").weights
    names = ["zebra", "apple", "middle"]  # in the order in which they come
    for number, name in enumerate(names):
        path = weights.save(
            folder / f"{name}.safetensors",
            weights.load_tensors(saved),
            {key: value for key, value in saved.story.items() if key != "sha256"} | {"preset": "pcrnn-s"},
        ).path
        os.utime(path, (1e9 + number, 1e9 + number))
    card = models.get_card("pcrnn-s")
    assert [one.path.stem for one in card.weights] == [*reversed(names), *(one.path.stem for one in bundled)]
    by_coils = weights_by_coils(card)
    assert by_coils[2].path.stem == "middle"
    assert by_coils[4].is_bundled
    assert models.fit_coils("pcrnn-s", 2).weights == by_coils[2]
    named = models.fit_coils(str(folder / "zebra.safetensors"), 2).weights
    assert named.path.stem == "zebra"
    os.utime(folder / "zebra.safetensors")  # installed again
    assert models.fit_coils("pcrnn-s", 2).weights.path.stem == "zebra"


def test_a_link_to_nothing_hides_no_other_weights(stored, tmp_path, monkeypatch):
    _, saved = stored
    monkeypatch.setenv("MRI_WORKSTATION_WEIGHTS", str(tmp_path / "installed"))
    before = weights.find_weights()
    (tmp_path / "installed").mkdir()
    (tmp_path / "installed" / "gone.safetensors").symlink_to(tmp_path / "nowhere.safetensors")
    (tmp_path / "installed" / "there.safetensors").symlink_to(saved.path)
    found = weights.find_weights()
    assert [one.path.stem for one in found] == ["there", *(one.path.stem for one in before)]
    assert models.list_models()


@pytest.mark.parametrize("n_coils", [1, 4])
def test_own_weights_serve_a_scan_before_bundled_ones_whatever_the_scores(n_coils, tmp_path, monkeypatch):
    monkeypatch.setenv("MRI_WORKSTATION_WEIGHTS", str(tmp_path))
    bundled = weights_by_coils(models.get_card("pcrnn-s"))
    story = {key: value for key, value in bundled[n_coils].story.items() if key not in ("sha256", "scores")}
    own = weights.save(tmp_path / "mine.safetensors", weights.load_tensors(bundled[n_coils]), story)
    fit = models.fit_coils("pcrnn-s", 4)
    assert fit.weights.path == own.path
    assert fit.coil_by_coil is (n_coils == 1)
    own.path.unlink()
    assert models.fit_coils("pcrnn-s", 4).weights.is_bundled


def test_installed_weights_are_found(stored, tmp_path, monkeypatch):
    monkeypatch.setenv("MRI_WORKSTATION_WEIGHTS", str(tmp_path))
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    card = models.get_card("pcrnn-4x")
    assert [one.path.name for one in card.weights] == ["small.safetensors"]
    assert models.load("pcrnn-4x", 2).n_coils == 2
    with pytest.raises(ModelError, match="only for 2"):
        models.load("pcrnn-4x", 4)
    with pytest.raises(ModelError, match="no weights yet"):
        models.load("pcrnn-b", 4)
    # A file is no different from a preset.
    path = str(tmp_path / "small.safetensors")
    assert models.load(path, 2).n_coils == models.load(path).n_coils == 2
    with pytest.raises(ModelError, match=r"small\.safetensors: holds weights for 2 coil\(s\), not for 4"):
        models.load(path, 4)


def test_a_network_for_any_array_loads_for_any_number_of_coils():
    path = str(models.get_card("vsnet").weights[0].path)
    for name in ("vsnet", path):
        assert models.load(name, 8).n_parameters == models.load(name).n_parameters
