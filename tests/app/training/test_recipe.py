"""What the training page makes of its fields: a recipe that says all, a folder of its own, a check in words."""

import tomllib

import pytest

from app.settings import Settings
from app.training.recipe import (
    Recipe,
    compose,
    data_key,
    inspection_text,
    list_recipes,
    new_run_folder,
    read_accelerations,
    read_recipe,
    to_toml,
)

RECIPES = [
    Recipe("one", "", {"model": "pcrnn-s", "n_coils": 4, "images": "theirs.h5", "overrides": {"n_iterations": 2}}),
]


def test_values_survive_as_toml():
    values = {
        "text": 'a "quote" \\ \n µ \x7f', "n": 3, "x": 1e-05, "huge": 1e300, "on": True, "list": [4.0, 8.0],
        "words": ["random", "magic"], "table": {"widths": [4, 4], "a b": {"deep": "yes"}}, "empty": {}, "none": None,
        "inf": float("inf"),
    }  # fmt: skip
    found = tomllib.loads(to_toml(values))
    del values["none"]
    assert found == values


def test_bundled_recipes_say_what_they_are():
    recipes = list_recipes()
    assert recipes
    for recipe in recipes:
        assert recipe.summary.endswith((".", ")"))
        assert "model" in recipe.values


def test_a_broken_recipe_is_left_out(tmp_path, monkeypatch):
    (tmp_path / "good.toml").write_text("# Good.\nmodel = 'oucr'\n")
    (tmp_path / "bad.toml").write_text("model = ")
    (tmp_path / "worse.toml").write_bytes(b"\xff")
    (tmp_path / "unknown.toml").write_text("modle = 'oucr'\n")
    monkeypatch.setattr("app.training.recipe.PRESETS", tmp_path)
    assert [(one.name, one.summary) for one in list_recipes()] == [("good", "Good.")]


def test_a_recipe_of_the_users_own_is_taken_from_its_file(tmp_path):
    data, own = tmp_path / "images.h5", tmp_path / "mine.toml"
    data.touch()
    own.write_text("# Mine.\n# All mine.\nmodel = 'd5c5'\nsizes = [64]\nlicence = 'MIT'\n\n# later\n")
    assert read_recipe(own).summary == "Mine. All mine."
    settings = Settings().changed(training_data=str(data), training_recipe=str(own), training_model="d5c5")
    assert compose(settings, RECIPES) == {
        "model": "d5c5", "sizes": [64], "licence": "MIT", "images": str(data), "minutes": 60.0
    }  # fmt: skip
    assert compose(settings.changed(training_licence="CC0"), RECIPES)["licence"] == "CC0"
    for text, said in (("sizes = 'big'", "sizes"), ("minuts = 3", "minutes"), ("sizes = [", "mine.toml")):
        own.write_text(text)
        with pytest.raises(ValueError, match=said) as caught:
            compose(settings, RECIPES)
        assert "mine.toml" in str(caught.value)
    own.unlink()
    with pytest.raises(ValueError, match=r"no recipe .*mine\.toml"):
        compose(settings, RECIPES)


def test_settings_replace_what_they_name_and_leave_the_rest(tmp_path):
    data = tmp_path / "images.h5"
    data.touch()
    settings = Settings().changed(training_data=str(data), training_recipe="one", training_minutes=0)
    assert compose(settings, RECIPES) == {
        "model": "pcrnn-s", "n_coils": 4, "overrides": {"n_iterations": 2}, "images": str(data)
    }  # fmt: skip
    settings = settings.changed(
        training_model="oucr", training_masks="random,magic", training_accelerations="4; 4, 8x", training_coils=2,
        training_minutes=30,
    )  # fmt: skip
    assert compose(settings, RECIPES) == {
        # The parameters were those of the other method.
        "model": "oucr", "n_coils": 2, "images": str(data), "mask_kinds": ["random", "magic"],
        "accelerations": [4.0, 4.0, 8.0], "minutes": 30.0,
    }  # fmt: skip
    # What the check found counts more than what the folder looks like.
    assert "kspace" in compose(settings.changed(training_key="kspace"), RECIPES)


def test_no_data_is_a_sentence(tmp_path):
    for settings, said in (
        (Settings(), "Choose the data"),
        (Settings().changed(training_data=str(tmp_path / "none")), "There is no"),
        (Settings().changed(training_data=str(tmp_path), training_accelerations="4, fast"), "'fast'"),
    ):
        with pytest.raises(ValueError, match=said):
            compose(settings.changed(training_recipe="one"), RECIPES)


@pytest.mark.parametrize("text", ["0", "four", "4, -2", "nan", "33"])
def test_impossible_accelerations_are_named(text):
    with pytest.raises(ValueError, match=text.rpartition(" ")[2]):
        read_accelerations(text)


def test_no_acceleration_leaves_it_to_the_recipe():
    assert read_accelerations(" , ") == ()


@pytest.mark.parametrize(
    ("file", "key"),
    [("a.dcm", "images"), ("file1.h5", "kspace"), ("train/file1.h5", "kspace"), ("knee/multicoil_val/f.h5", "kspace"),
     ("a/b/c/too_deep.h5", "images")],
)  # fmt: skip
def test_a_folder_is_told_by_what_lies_in_it(tmp_path, file, key):
    path = tmp_path / "data" / file
    path.parent.mkdir(parents=True)
    path.touch()
    assert data_key(tmp_path / "data") == key
    assert data_key(path) == "images"


def test_runs_get_folders_of_their_own(tmp_path):
    first = new_run_folder(tmp_path, "oucr")
    assert first == tmp_path / "oucr-001"
    first.mkdir()
    assert new_run_folder(tmp_path, "oucr").name == "oucr-002"


def test_a_check_is_told_in_words():
    part = {"n_volumes": 1, "n_slices": 30, "n_subjects": 1, "coils": {"15": 1}, "sizes": {}, "sequences": {"CORPD": 1}}
    bad = [{"path": f"/data/{number}.h5", "reason": "is cut off"} for number in range(25)]
    text = inspection_text(
        {"key": "kspace", "problem": None, "parts": {"train": part}, "unusable": bad, "notes": ["Split by patient."]}
    )
    assert text.splitlines()[:4] == [
        "Fully sampled raw data.",
        "train: 1 volume, 30 slices, 1 subject",
        "    coils: 15 (1)",
        "    sequence: CORPD (1)",
    ]
    assert "25 files cannot be used:" in text
    assert "    0.h5: is cut off" in text
    assert "and 5 more" in text
    assert text.endswith("Split by patient.")
    assert inspection_text({"problem": "it is empty."}) == "Nothing can be trained on it: it is empty."
    assert inspection_text({}) == ""
