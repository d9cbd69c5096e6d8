"""Settings survive what happens to files."""

import dataclasses
import json

import pytest

from app import settings
from app.settings import Settings


def test_they_come_back_as_they_were(tmp_path):
    file = tmp_path / "deep" / "settings.json"
    changed = Settings().changed(theme="light", n_recent=3, recent=("/a.h5", "/b.h5"))
    settings.save(changed, file)
    assert settings.load(file) == (changed, None)
    assert [path.name for path in file.parent.iterdir()] == ["settings.json"]


def test_no_file_means_defaults_without_a_word(tmp_path):
    assert settings.load(tmp_path / "none.json") == (Settings(), None)


@pytest.mark.parametrize("content", [b"{ not json", b"[1, 2]", b"\xff\xfe\x00", b""])
def test_a_damaged_file_gives_defaults_and_a_sentence(tmp_path, content):
    file = tmp_path / "settings.json"
    file.write_bytes(content)
    found, problem = settings.load(file)
    assert found == Settings()
    assert str(file) in problem


def test_bad_values_keep_their_defaults_and_the_others_count(tmp_path):
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"theme": "pink", "n_recent": 5, "n_results": True, "unknown": 1}))
    found, problem = settings.load(file)
    assert found == Settings().changed(n_recent=5)
    for name in ("theme", "n_results", "unknown"):
        assert name in problem


@pytest.mark.parametrize(
    ("name", "value"), [("theme", "pink"), ("n_recent", 1000), ("n_recent", "3"), ("nothing", 1), ("error_gain", 3)]
)
def test_impossible_values_are_refused(name, value):
    with pytest.raises(ValueError, match=name):
        Settings().changed(**{name: value})


def test_recent_keeps_the_newest_first_and_no_double(tmp_path):
    found = Settings().changed(n_recent=2)
    for name in ("a", "b", "a", "c"):
        found = found.with_recent(tmp_path / name)
    assert found.recent == (str(tmp_path / "c"), str(tmp_path / "a"))


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    file = tmp_path / "settings.json"
    settings.save(Settings(), file)
    before = file.read_text()

    def full(*_arguments, **_keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(settings.json, "dump", full)
    with pytest.raises(OSError, match="No space"):
        settings.save(Settings().changed(theme="light"), file)
    assert file.read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["settings.json"]


def test_every_visible_setting_is_described():
    for field in dataclasses.fields(Settings):
        if not field.metadata.get("hidden"):
            assert field.metadata["label"]
            assert field.metadata["help"].endswith(".")
