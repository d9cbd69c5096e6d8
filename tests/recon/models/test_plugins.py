"""Methods of other packages: found, run like any other, and listed with their error where they are broken."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import recon
from recon import models, phantom
from recon.errors import ModelError
from recon.models import ModelCard, plugins
from recon.models.blocks import ReconstructionModel
from recon.stage import Stage

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "tests" / "plugin_example"
CARD = {
    "title": "Mine",
    "family": f"{__name__}:Mine",
    "group": "Examples",
    "paper": "None",
    "summary": "Nothing.",
    "parameters": {"how": "well"},
    "needs_training": False,
}


# ---- the example package ----------------------------------------------------------------------------------------


def python(site, *commands):
    """Run command lines in one fresh interpreter; returns status, stdout and stderr of each."""
    script = """
import contextlib, io, json, sys
from app.cli import main
results = []
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        status = main(words)
    results.append((status, out.getvalue(), err.getvalue()))
print(json.dumps(results))
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(site)])}
    command = [sys.executable, "-c", script, json.dumps([list(map(str, words)) for words in commands])]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=True)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the example installed, and two packages that are broken."""
    folder = tmp_path_factory.mktemp("site")
    words = ["install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", *words, "--target", folder, EXAMPLE], check=True, cwd=ROOT)
    for name, entries in (
        ("lost", "gone = no_such_module:CARD\nraising = lost_module\n"),
        ("thief", "pcrnn-s = mri_example:CARD\npcrnn = mri_example:CARD\n"),
    ):
        information = folder / f"{name}-2.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.0\n")
        (information / "entry_points.txt").write_text(f"[{plugins.GROUP}]\n{entries}")
    (folder / "lost_module.py").write_text("raise ZeroDivisionError('at import')\n")
    return folder


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    spec = phantom.PhantomSpec(n_slices=1, n_coils=2, matrix=(48, 40))
    return phantom.write(tmp_path_factory.mktemp("scan") / "head.h5", spec)


def test_example_is_small():
    lines = [line for path in EXAMPLE.glob("*.*") for line in path.read_text().splitlines()]
    assert len(lines) <= 60


def test_plugins_are_listed_after_the_own_models_the_broken_ones_with_their_errors(site):
    [(status, out, err), (_, text, _)] = python(site, ["models", "list", "--json"], ["models", "list"])
    assert (status, err) == (0, "")
    cards = {card["name"]: card for card in json.loads(out)}
    own = [card for card in models.list_models() if not card.source]
    assert list(cards)[: len(own)] == [card.name for card in own]
    assert not any(cards[card.name]["source"] for card in own)
    # Only a program that a method runs may be missing, here and there alike.
    assert all(cards[card.name]["problem"] == card.problem for card in own)
    assert not any(card.problem for card in own if not card.requires_program)
    assert cards["example"]["source"] == "mri-example 1.0"
    assert cards["example"]["available"] and not cards["example"]["problem"]
    assert "No module named 'no_such_module'" in cards["gone"]["problem"]
    assert "ZeroDivisionError: at import" in cards["raising"]["problem"]
    for name in ("pcrnn-s", "pcrnn"):
        assert "the workstation has the name" in cards[f"{name} (thief 2.0)"]["problem"]
    assert not any(cards[name]["available"] for name in cards if cards[name]["problem"])
    assert any(line.startswith("gone ") and "broken" in line and "no_such" in line for line in text.splitlines())


def test_doctor_reports_the_plugins_that_work_and_the_broken_ones_with_their_errors(site):
    [(status, out, _), (_, text, _)] = python(site, ["doctor", "--json"], ["doctor"])
    found = {item["name"]: item for item in json.loads(out)["findings"] if item["section"] == "plug-ins"}
    assert found["example"] == {
        "section": "plug-ins", "name": "example", "verdict": "ok", "value": "mri-example 1.0: Shrink and measure",
        "advice": "",
    }  # fmt: skip
    assert set(found) == {"example", "gone", "raising", "pcrnn-s (thief 2.0)", "pcrnn (thief 2.0)"}
    for name, said in (("gone", "No module named 'no_such_module'"), ("raising", "ZeroDivisionError: at import")):
        assert found[name]["verdict"] == "broken" and said in found[name]["value"]
        assert "uninstall lost" in found[name]["advice"]
    assert status == 1
    assert any("✗" in line and "gone" in line and "no_such_module" in line for line in text.splitlines())


def test_example_runs_like_any_other_and_beside_a_broken_one(site, scan, tmp_path):
    words = ["--model", "gone", "--model", "example", "--model", "zero-filled", "--stages", "--json", "--out", tmp_path]
    commands = ["reconstruct", scan, *words], ["models", "show", "example"], ["models", "show", "gone"]
    [(status, out, err), (_, shown, _), (_, broken, _)] = python(site, *commands)
    assert status == 2
    assert "the plug-in gone of lost 2.0 cannot be used" in err
    records = {record["request"]["model"]: record for record in json.loads(out)}
    assert list(records) == ["example", "zero-filled"]
    assert records["example"]["metrics"]["nmse"]["volume"] < records["zero-filled"]["metrics"]["nmse"]["volume"]
    with h5py.File(tmp_path / "head.example.h5") as file:
        assert file["reconstruction"].shape == (1, 48, 40)
        assert "09_iterate_9" in file["stages"]
    assert "mri-example 1.0" in shown and "threshold" in shown
    assert "the plug-in gone of lost 2.0 cannot be used" in broken and "no_such_module" in broken


TALKER = """
import os
from mri_example import CARD, Example, ExampleParameters as TalkerParameters
from dataclasses import replace

print("imported")
CARD = replace(CARD, name="talker", family="talker:Talker")


class Talker(Example):
    def stages(self, *data):
        print("computing")
        os.system("echo a program")
        yield from super().stages(*data)
"""


def test_what_a_plugin_prints_stays_out_of_the_json(site, scan, tmp_path):
    information = tmp_path / "talker-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: talker\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[{plugins.GROUP}]\ntalker = talker:CARD\n")
    (tmp_path / "talker.py").write_text(TALKER)
    words = ["reconstruct", str(scan), "--model", "talker", "--json", "--out", str(tmp_path / "out")]
    folders = os.pathsep.join(map(str, (ROOT, site, tmp_path)))
    command = [sys.executable, "-m", "app.cli", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": folders}, check=True)
    assert [record["request"]["model"] for record in json.loads(done.stdout)] == ["talker"]
    assert {"imported", "computing", "a program"} <= set(done.stderr.splitlines())


# ---- cards ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MineParameters:
    how: str = "well"


class Mine(ReconstructionModel):
    """Whatever a test puts into `stages`."""

    behave = staticmethod(lambda _: iter(()))

    def __init__(self, n_coils, parameters):
        super().__init__()
        if parameters.how == "badly":
            raise ValueError("badly asked")
        self.n_coils, self.parameters_ = n_coils, parameters

    def stages(self, zero_filled, kspace, mask, maps=None):
        return type(self).behave(zero_filled)


@dataclass(frozen=True)
class NoMethodParameters:
    pass


class NoMethod:
    pass


class Odd(Mine):
    pass


class OddParameters:
    pass


def card():
    return ModelCard(name="mine", **CARD)


NUMBER = 3


def as_mapping():
    return CARD


def install(monkeypatch, *entries):
    """Make entry points of objects in this module, by name and attribute."""
    points = [EntryPoint(name, f"{__name__}:{value}", plugins.GROUP) for name, value in entries]
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: points)
    monkeypatch.setattr(models, "_cards", models._cards.__wrapped__)


@pytest.mark.parametrize("value", ["card", "as_mapping", "CARD"])
def test_what_an_entry_point_may_lead_to(monkeypatch, value):
    install(monkeypatch, ("mine", value))
    found = models.get_card("mine")
    assert (found.title, found.source, found.problem, found.available) == ("Mine", __name__, "", True)
    model = models.create("mine", 3)
    assert isinstance(model, Mine)
    assert (model.n_coils, model.parameters_) == (3, MineParameters("well"))
    assert models.create("mine", how="quickly").parameters_.how == "quickly"
    with pytest.raises(ModelError, match="no parameter 'depth'"):
        models.create("mine", depth=3)


def test_a_plugin_may_be_a_preset_of_a_family_of_ours(monkeypatch):
    changes = {"family": "convrnn", "parameters": {"modules": ["2x"], "widths": [5]}, "needs_training": True}
    monkeypatch.setattr(sys.modules[__name__], "as_mapping", lambda: CARD | changes)
    install(monkeypatch, ("mine", "as_mapping"))
    assert models.create("mine", 2).parameters_.widths == (5,)
    assert not models.get_card("mine").available
    with pytest.raises(ModelError, match="no weights yet"):
        models.fit_coils("mine", 2)


def test_a_plugin_with_weights_is_loaded_from_them(monkeypatch, tmp_path):
    changes = {"family": "convrnn", "parameters": {"modules": ["2x"], "widths": [5]}, "needs_training": True}
    monkeypatch.setattr(sys.modules[__name__], "as_mapping", lambda: CARD | changes)
    monkeypatch.setenv("MRI_WORKSTATION_WEIGHTS", str(tmp_path))
    install(monkeypatch, ("mine", "as_mapping"))
    model = models.create("mine", 2)
    story = {"preset": "mine", "n_coils": 2, "parameters": changes["parameters"]}
    recon.weights.save(tmp_path / "mine.safetensors", model.state_dict(), story)
    assert models.get_card("mine").available
    loaded = models.load("mine", 2)
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("mine", "nothing", "AttributeError"),
        ("mine", "NUMBER", "leads to an object of type int; a recon.models.ModelCard"),
        ("other", "card", "the card is called 'mine' and its entry point 'other'"),
        ("../mine", "as_mapping", "cannot be part of a file name"),
        ("oucr", "as_mapping", "the workstation has the name oucr already"),
        ("pcrnn", "as_mapping", "the workstation has the name pcrnn already"),
    ],
)
def test_broken_cards_are_listed_and_refused(monkeypatch, name, value, words):
    install(monkeypatch, (name, value))
    found = models.list_models()[-1]
    assert words in found.problem
    assert not found.available
    assert found.to_dict()["problem"] == found.problem
    for call in (models.create, models.load, lambda name: models.fit_coils(name, 1)):
        with pytest.raises(ModelError, match="cannot be used"):
            call(found.name)
    assert models.get_card("pcrnn").source == models.get_card("oucr").source == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scale": "median"}, "choose mean or maximum"),
        ({"family": "neural"}, "'module:Class'"),
        ({"summary": None}, "summary is no text"),
        ({"needs_maps": "yes"}, "needs_maps is neither true nor false"),
        ({"parameters": {"how": object()}}, "no mapping of names to plain values"),
    ],
)
def test_impossible_cards_are_refused_by_what_is_wrong(monkeypatch, changes, words):
    wrong = card()
    for name, value in changes.items():
        object.__setattr__(wrong, name, value)  # the types are checked under pytest, and nowhere else
    monkeypatch.setattr(sys.modules[__name__], "card", lambda: wrong)
    install(monkeypatch, ("mine", "card"))
    assert words in models.get_card("mine").problem


def test_a_field_that_no_card_has_is_named(monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "as_mapping", lambda: CARD | {"colour": "red"})
    install(monkeypatch, ("mine", "as_mapping"))
    assert "colour" in models.get_card("mine").problem


@pytest.mark.parametrize(
    ("family", "words"),
    [
        ("NoClass", "has no class NoClass"),
        ("NoMethod", "NoMethod is no recon.models"),
        ("Stage", "no class StageParameters"),
        ("Odd", "OddParameters of .* is no dataclass"),
    ],
)
def test_classes_that_are_no_method_are_refused(monkeypatch, family, words):
    monkeypatch.setattr(sys.modules[__name__], "as_mapping", lambda: CARD | {"family": f"{__name__}:{family}"})
    install(monkeypatch, ("mine", "as_mapping"))
    with pytest.raises(ModelError, match=words):
        models.create("mine")
    # What the card's own module lacks is said before anybody asks for the method.
    assert bool(models.get_card("mine").problem) == (family != "NoMethod")


def test_a_constructor_that_fails_is_the_plugins_fault(monkeypatch):
    install(monkeypatch, ("mine", "card"))
    with pytest.raises(ModelError, match=r"the plug-in mine of .* failed \(ValueError: badly asked\)"):
        models.create("mine", how="badly")


def test_broken_metadata_hides_no_model(monkeypatch):
    def fail(group):
        raise TypeError("not enough values")

    monkeypatch.setattr(importlib.metadata, "entry_points", fail)
    [found] = plugins.read_plugins({}).values()
    assert "not enough values" in found.problem


# ---- what a plug-in yields --------------------------------------------------------------------------------------


def final(image, **changes):
    yield Stage(**{"name": "final", "path": ("final",), "image": image, "is_final": True, "progress": 1.0} | changes)


def failing(image):
    yield Stage("iterate", ("iterate", 1), image)
    raise IndexError("out of luck")


def leaving(image):
    yield Stage("iterate", ("iterate", 1), image)
    sys.exit(7)


def twice(image):
    yield from final(image)
    yield from final(image)


@pytest.mark.parametrize(
    ("behave", "words"),
    [
        (lambda x: final(x[..., 1:]), r"of shape \(1, 2, 48, 39\); a complex64 tensor of shape \(1, 2, 48, 40\), or"),
        (lambda x: final(x[0]), r"of shape \(2, 48, 40\)"),
        (lambda x: final(x.abs()), "of type float32"),
        (lambda x: final(x.to(torch.complex128)), "of type complex128"),
        (lambda x: final(x.to("meta")), "on meta"),
        (lambda x: final(x.numpy()), "is a ndarray"),
        (
            lambda x: final(torch.full_like(x, np.nan)),
            "stage 'final' of slice 0 .counted from 0. holds NaN or infinity",
        ),
        (lambda x: final(x, progress=2.0), "has progress 2.0"),
        (lambda x: final(x, path="final"), "the path of a stage is 'final'"),
        (lambda x: final(x, is_final=False), "the stream ended with stage 'final'"),
        (lambda _: (stage for stage in ()), "the stream ended without any stage"),
        (lambda x: (x for _ in range(2)), "yielded a Tensor"),
        (lambda x: list(final(x)), "gave a list; a generator"),
        (twice, "a stage came after the final one"),
        (failing, r"failed \(IndexError: out of luck\)"),
        (leaving, r"failed \(SystemExit: 7\)"),
        (lambda x: x + "text", r"failed \(TypeError: "),
    ],
)
def test_a_plugin_that_breaks_the_contract_is_named(monkeypatch, scan, behave, words):
    install(monkeypatch, ("mine", "card"))
    monkeypatch.setattr(Mine, "behave", staticmethod(behave))
    series = recon.open_study(scan).series[0]
    with pytest.raises(ModelError, match=words) as caught:
        recon.run(series, recon.Request(model="mine"))
    assert str(caught.value).startswith(f"the plug-in mine of {__name__}")


def test_what_a_plugin_does_in_place_reaches_no_residual(monkeypatch, scan):
    def ruin(self, zero_filled, kspace, mask, maps=None):
        kspace.zero_(), zero_filled.zero_(), mask.logical_not_()
        yield from final(torch.ones_like(zero_filled))

    install(monkeypatch, ("mine", "card"))
    monkeypatch.setattr(Mine, "stages", ruin)
    result = recon.run(recon.open_study(scan).series[0], recon.Request(model="mine"))
    assert result.record()["data_residual"][0] > 0.1


def test_a_plugin_may_combine_the_coils(monkeypatch, scan):
    install(monkeypatch, ("mine", "card"))
    monkeypatch.setattr(Mine, "behave", staticmethod(lambda x: final(x[:, :1])))
    result = recon.run(recon.open_study(scan).series[0], recon.Request(model="mine"))
    assert result.final.shape == (1, 48, 40)
    assert result.model_title == "Mine"


def test_a_plugin_that_fills_the_memory_is_not_called_broken(monkeypatch, scan):
    def fill(image):
        raise torch.OutOfMemoryError("CUDA out of memory")

    install(monkeypatch, ("mine", "card"))
    monkeypatch.setattr(Mine, "behave", staticmethod(fill))
    with pytest.raises((recon.errors.DeviceError, torch.OutOfMemoryError)) as caught:
        recon.run(recon.open_study(scan).series[0], recon.Request(model="mine"))
    assert caught.type is recon.errors.DeviceError


def test_an_error_of_our_own_method_is_no_plugins_fault(scan, monkeypatch):
    def fail(self, *arguments):
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr("recon.models.zero_filled.ZeroFilled.stages", fail)
    with pytest.raises(ZeroDivisionError):
        recon.run(recon.open_study(scan).series[0], recon.Request(model="zero-filled"))
