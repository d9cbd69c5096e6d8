"""Session files: what is written is read, and what is damaged, foreign or newer is refused in one sentence."""

from __future__ import annotations

import copy
import json
import os
import shutil
from dataclasses import replace

import pytest

from app import session_file
from app.session_file import Place, Scan, StoredSession, ViewOptions
from recon.errors import ExportError, FileError
from recon.masks import MaskSpec
from recon.request import Request
from recon.simulate import SimulationSpec

NAME = "brain.mriws.json"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "scans" / "dicom").mkdir(parents=True)
    (tmp_path / "scans" / "a.h5").write_bytes(bytes(range(256)) * 4000)
    (tmp_path / "scans" / "dicom" / "1.dcm").write_bytes(b"one")
    return tmp_path


@pytest.fixture
def stored(folder):
    request = Request("cs-tv", MaskSpec("random", 6, 0.06, 11), None, 4, overrides={"lambda_": 0.02, "prior": "tv"})
    view = ViewOptions(
        "phase", {"magnitude": (0.0, 1.5), "phase": (-3.0, 3.0)}, "soft", "viridis", True, "comparison", False, True,
        10, False, (3, 4), (1, 2, 5, 6), True, 0.25, 2.5, (0.25, 0.75),
    )  # fmt: skip
    place = Place(0, 0, "äther · AXT2")
    results = ((place, replace(request, slices=(2, 3))), (Place(1, 0, "T1"), Request(slices=(0,), join_coils=0.01)))
    spec = SimulationSpec(n_coils=8, phase=0.5, noise=0, seed=3)
    scans = (Scan(folder / "scans" / "a.h5"), Scan(folder / "scans" / "dicom", spec))
    return StoredSession(scans, place, 3, request, view, results)


@pytest.fixture
def file(folder, stored):
    session_file.write(stored, folder / NAME)
    return folder / NAME


def known(session):
    """A session without what only its file knows."""
    return replace(session, scans=tuple(replace(scan, size=None, digest=None) for scan in session.scans))


def problem_of(file, values=None):
    if values is not None:
        file.write_text(values if isinstance(values, str) else json.dumps(values))
    with pytest.raises(FileError) as caught:
        session_file.read(file)
    text = str(caught.value)
    assert text.startswith(f"{file}: ") and text.endswith(".") and "\n" not in text
    return caught.value.problem


def test_what_is_written_is_read(file, stored):
    assert known(session_file.read(file)) == stored
    assert all(scan.size and scan.digest for scan in session_file.read(file).scans)


def test_an_empty_session_is_one(folder):
    session_file.write(StoredSession(), folder / NAME)
    assert session_file.read(folder / NAME) == StoredSession()


def test_a_person_can_read_it(file):
    text = file.read_text(encoding="utf-8")
    values = json.loads(text)
    assert text.count("\n") > 50 and "äther" in text
    assert values["format"] == "mri-workstation session" and values["version"] == 1
    assert values["scans"][0]["path"] == "scans/a.h5"
    assert values["shown"]["slice"] == 3 and values["recipe"]["mask"]["kind"] == "random"
    # Recipes, not pixels.
    assert file.stat().st_size < 10_000 and set(values["results"][0]) == {"scan", "series", "title", "recipe"}


def test_it_appears_whole_or_not_at_all(file, stored, monkeypatch):
    before = file.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(ExportError, match="disk is full"):
        session_file.write(stored, file)
    assert file.read_bytes() == before and [path.name for path in file.parent.iterdir()] == ["scans", NAME]


def test_a_name_of_any_bytes_comes_back(folder):
    path = folder / os.fsdecode(b"\xff\xe4.h5")
    path.write_bytes(b"x")
    stored = StoredSession((Scan(path),))
    session_file.write(stored, folder / NAME)
    assert known(session_file.read(folder / NAME)) == stored


# ---------------------------------------------------------------- where scans are


def test_a_folder_that_moves_as_a_whole_finds_its_scans(file, folder):
    new = folder.with_name("elsewhere")
    shutil.move(folder, new)
    session = session_file.read(new / NAME)
    assert [scan.state for scan in session.scans] == ["", ""]
    assert session.scans[0].path == new / "scans" / "a.h5"


def test_a_session_that_moves_alone_finds_them_too(file, folder):
    (folder / "notes").mkdir()
    shutil.move(file, folder / "notes" / NAME)
    session = session_file.read(folder / "notes" / NAME)
    assert [(scan.state, scan.path) for scan in session.scans] == [
        ("", folder / "scans" / "a.h5"),
        ("", folder / "scans" / "dicom"),
    ]


def test_of_two_scans_of_one_name_it_takes_that_with_the_same_contents(file, folder):
    other = folder / "other"
    (other / "scans").mkdir(parents=True)
    (other / "scans" / "a.h5").write_bytes(b"something else")
    shutil.copy(file, other / NAME)
    assert session_file.read(other / NAME).scans[0] == session_file.read(file).scans[0]


def test_missing_and_changed_scans_are_told(file, folder):
    scan = folder / "scans" / "a.h5"
    os.utime(scan, (1, 1))  # a copy has another time, and is the same scan
    assert session_file.read(file).scans[0].state == ""
    values = bytearray(scan.read_bytes())
    values[len(values) // 2] ^= 1
    scan.write_bytes(values)  # as many bytes as before
    (folder / "scans" / "dicom" / "2.dcm").write_bytes(b"two")
    assert [one.state for one in session_file.read(file).scans] == ["changed", "changed"]
    scan.unlink()
    shutil.rmtree(folder / "scans" / "dicom")
    session = session_file.read(file)
    assert [one.state for one in session.scans] == ["missing", "missing"]
    assert session.scans[0].path == scan


def test_a_session_in_the_folder_of_its_scans_does_not_change_them(folder):
    place = folder / "scans" / NAME
    session_file.write(StoredSession((Scan(folder / "scans"),)), place)
    (folder / "scans" / ".DS_Store").write_bytes(b"x")
    assert session_file.read(place).scans == session_file.read(place).scans
    assert session_file.read(place).scans[0].state == ""


def test_a_scan_that_is_gone_when_it_is_saved_is_not_judged_later(folder):
    scan = Scan(folder / "late.h5")
    session_file.write(StoredSession((scan,)), folder / NAME)
    assert session_file.read(folder / NAME).scans[0].state == "missing"
    scan.path.write_bytes(b"x")
    assert session_file.read(folder / NAME).scans == (scan,)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", '{"a": 1}', "\0", "NaN", '"x"', "[" * 100_000])
def test_what_is_something_else_is_said_to_be(file, text):
    assert "no session" in problem_of(file, text)


def test_other_things_than_text_files_are_refused(file, folder):
    file.write_bytes(b"\x89HDF\r\n\xff\xfe")
    assert "no session" in problem_of(file)
    with file.open("wb") as stream:
        stream.truncate(1 << 30)
    assert "bytes" in problem_of(file)
    file.unlink()
    assert "cannot be read" in problem_of(file)
    file.mkdir()
    assert "cannot be read" in problem_of(file)


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (2, "Update the program"),
        (10**30, "Update the program"),
        (0, "Save"),
        ("1", "Save"),
        (None, "Save"),
        (True, "Save"),
    ],
)
def test_other_versions_are_refused(file, version, words):
    values = json.loads(file.read_text())
    values["version"] = version
    values["something new"] = 1
    problem = problem_of(file, values)
    assert f"version is {json.dumps(version)}" in problem and "reads version 1" in problem and words in problem


def test_a_file_that_is_cut_off_anywhere_is_refused(file):
    text = file.read_text()
    for end in range(0, len(text) - 2, 41):
        problem_of(file, text[:end])


def places(values, place=()):
    """All places in a JSON value, outermost first."""
    yield place
    entries = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in entries:
        yield from places(value, (*place, key))


def changed(values, place, value):
    values = copy.deepcopy(values)
    inner = values
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return values


WRONG = (
    None, True, -1, 0, 1.5, 1e300, 10**400, "", "x", "\0", "\ud800", [], [[]], [1, 2, 3], {}, {"x": {}}, [None] * 4,
    [1e999], -1e999,
)  # fmt: skip


def test_no_value_of_any_field_is_worse_than_a_sentence(file):
    """Every field gets every wrong value: the session is read, or refused by the name of the file, nothing else."""
    values = json.loads(file.read_text())
    all_places = [place for place in places(values) if place]
    assert len(all_places) > 100
    n_refused = 0
    for place in all_places:
        for wrong in WRONG:
            try:
                file.write_text(json.dumps(changed(values, place, wrong)))
            except ValueError:
                continue  # too many digits for this Python to write
            try:
                session_file.read(file)
            except FileError as error:
                n_refused += 1
                assert str(error).startswith(f"{file}: ") and len(error.problem) < 500
    assert n_refused > 1000


def test_fields_that_are_missing_or_unknown_are_named(file):
    values = json.loads(file.read_text())
    for place in (place for place in places(values) if place and isinstance(place[-1], str)):
        if place[0] in ("format", "version", "program", "saved") or "recipe" in place or "levels" in place[:-1]:
            continue
        if place == ("view", "has_signed_errors"):
            continue
        inner = copy.deepcopy(values)
        target = inner
        for key in place[:-1]:
            target = target[key]
        del target[place[-1]]
        assert f"{place[-1]} is missing" in problem_of(file, inner)
        target["surplus"] = target[place[-1]] = 1
    for part in ("view", "shown"):
        assert f"{part}.surplus" in problem_of(file, changed(values, (part, "surplus"), 1))
    assert "surplus" in problem_of(file, changed(values, ("recipe", "surplus"), 1))


def test_sessions_of_before_errors_had_signs_open(file, stored):
    values = json.loads(file.read_text())
    del values["view"]["has_signed_errors"]
    file.write_text(json.dumps(values))
    assert known(session_file.read(file)) == replace(stored, view=replace(stored.view, has_signed_errors=False))


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("scans",), {}, "scans is {}; expected a list"),
        (("scans", 0), 5, "scans[0] is 5; expected an object"),
        (("scans", 0, "size"), -1, "scans[0].size is -1; expected a whole number from 0"),
        (("scans", 1, "simulation", "n_coils"), 0, "scans[1].simulation"),
        (("scans", 1, "simulation", "noise"), "x", 'scans[1].simulation.noise is "x"; expected a number'),
        (("shown", "scan"), 2, "shown.scan is 2; expected a whole number from 0 to 1"),
        (("shown", "slice"), 1.5, "shown.slice is 1.5"),
        (("recipe", "mask", "kind"), "spiral", "recipe: mask type 'spiral' is unknown"),
        (("recipe", "mask", "acceleration"), 0, "acceleration is 0"),
        (("recipe", "coils"), 0, "coils is 0"),
        (("recipe", "overrides", "lambda_"), {"x": 1}, "recipe.overrides.lambda_"),
        (("view", "component"), "colour", 'view.component is "colour"; expected one of magnitude, phase'),
        (("view", "levels", "magnitude"), [1, 0], "black below white"),
        (("view", "levels", "red"), [0, 1], "view.levels.red"),
        (("view", "error_gain"), 3, "view.error_gain is 3; expected one of 1, 2, 5, 10, 20"),
        (("view", "region"), [5, 5, 1, 1], "left and top below right and bottom"),
        (("view", "zoom"), 0, "view.zoom is 0; expected a number from 0.25 to 40"),
        (("view", "layout"), "tiles", "view.layout"),
        (("results", 0, "recipe", "slices"), None, "results[0].recipe.slices"),
        (("results", 0, "recipe", "slices"), [-1], "results[0].recipe.slices"),
    ],
)
def test_the_sentence_says_what_was_found_and_what_was_expected(file, place, value, words):
    problem = problem_of(file, changed(json.loads(file.read_text()), place, value))
    assert words in problem and problem.endswith("Save the session again, or correct the file.")


def test_the_name_tells(tmp_path):
    assert session_file.is_session_file("a.mriws.json") and session_file.is_session_file(tmp_path / "A.MRIWS.JSON")
    assert not session_file.is_session_file("a.json")
