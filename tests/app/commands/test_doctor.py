"""`doctor`: what is wrong with an installation."""

import json
import subprocess

import recon
from app.commands import doctor


def test_doctor_finds_this_installation_healthy(run):
    status, out, _ = run("doctor", "--json")
    report = json.loads(out)
    assert status == 0
    assert report["healthy"]
    found = {finding["name"]: finding for finding in report["findings"]}
    assert found["torch"]["verdict"] == "ok"
    assert {"cpu", "platform", "temporary", "dciodvfy", "bart", "plug-ins"} <= found.keys()
    status, out, _ = run("doctor")
    assert status == 0
    assert out.rstrip().endswith("Ready.")


def test_a_wrong_folder_for_bart_is_told_and_hides_nothing_else(run, monkeypatch, tmp_path):
    monkeypatch.setenv("BART_TOOLBOX_PATH", str(tmp_path / "nowhere"))
    status, out, _ = run("doctor", "--json")
    found = {finding["name"]: finding for finding in json.loads(out)["findings"]}
    assert (status, found["bart"]["verdict"]) == (1, "broken")
    assert f"$BART_TOOLBOX_PATH is {tmp_path / 'nowhere'}, which does not exist" in found["bart"]["value"]
    assert found["dciodvfy"]["verdict"] in ("ok", "note")
    status, out, _ = run("models", "list", "--json")
    cards = {card["name"]: card for card in json.loads(out)}
    assert status == 0
    assert "which does not exist" in cards["cs-bart"]["problem"]
    assert cards["cs-tv"]["available"]


def test_doctor_names_the_packages_of_missing_libraries(run, monkeypatch):
    monkeypatch.setattr(doctor, "missing_libraries", lambda *_: {"libEGL.so.1", "libxkbcommon.so.0"})
    status, out, _ = run("doctor")
    assert status == 1
    assert "sudo apt-get install libegl1 libxkbcommon0" in out


def test_doctor_reads_ldd(monkeypatch, tmp_path):
    (tmp_path / "QtWidgets.abi3.so").write_bytes(b"")
    answer = "\tlibEGL.so.1 => not found\n\tlibc.so.6 => /lib/libc.so.6 (0x0)\n"
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(doctor.platform, "system", lambda: "Linux")
    monkeypatch.setattr(doctor.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, answer, ""))
    assert doctor.missing_libraries(tmp_path, "offscreen") == {"libEGL.so.1"}


def test_doctor_reports_broken_weights(run, weights_file):
    folder = recon.weights.user_folder()
    folder.mkdir(parents=True)
    (folder / "broken.safetensors").write_bytes(weights_file.read_bytes()[:-10])
    status, out, _ = run("doctor", "--json")
    assert status == 1
    [finding] = [item for item in json.loads(out)["findings"] if item["name"] == "broken.safetensors"]
    assert finding["verdict"] == "broken"


def test_doctor_makes_every_plugin_to_find_those_whose_card_promises_too_much(run, monkeypatch):
    empty = recon.models.ModelCard(
        name="mine", title="Mine", family="recon.errors:Mine", group="Examples", paper="None", summary="Nothing.",
        needs_training=False, source="mine 1.0",
    )  # fmt: skip
    monkeypatch.setattr(recon.models, "_cards", lambda: {"mine": empty})
    status, out, _ = run("doctor", "--json")
    [finding] = [item for item in json.loads(out)["findings"] if item["section"] == "plug-ins"]
    assert (status, finding["verdict"]) == (1, "broken")
    assert "recon.errors has no class Mine" in finding["value"]
