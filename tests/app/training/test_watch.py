"""What is seen of a training run from outside: its pictures, its neighbours, and words for how it goes."""

import os

from app.training import watch as training_watch
from app.training.events import EVENTS
from app.training.recipe import list_recipes
from app.training.watch import remaining, resolve_image, siblings


def test_pictures_outside_the_run_folder_are_not_opened(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "secret.png").touch()
    (tmp_path / "run" / "in.png").touch()
    assert resolve_image(tmp_path / "run", "in.png") == tmp_path / "run" / "in.png"
    for image in ("../secret.png", str(tmp_path / "secret.png"), "none.png", "."):
        assert resolve_image(tmp_path / "run", image) is None


def test_times_left_are_short_to_read():
    seconds = (5, 59, 60, 3500, 3600, 90_000)
    assert [remaining(one) for one in seconds] == ["5 s", "59 s", "1 min", "58 min", "1 h 00 min", "1 d 1 h"]


def test_runs_beside_a_run_are_listed_newest_first(tmp_path, write_events):
    for place, name in enumerate(("a", "b", "c")):
        write_events(tmp_path / name, {"event": "start"})
        os.utime(tmp_path / name / EVENTS, (place, place))
    assert [one.name for one in siblings(tmp_path / "b")] == ["c", "a"]
    assert siblings(tmp_path / "none" / "run") == []


def test_every_state_has_a_word():
    assert set(training_watch.RUNNING) < set(training_watch.WORDS)
    assert list_recipes()
