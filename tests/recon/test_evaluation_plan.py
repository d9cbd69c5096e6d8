"""What an evaluation asks for: values that make sense, patterns, names of methods, and its form as JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest

from recon.errors import ModelError, RequestError
from recon.evaluation import Evaluation, method_names
from recon.request import Request

SIZE = 32


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"models": ()}, "no models"),
        ({"masks": ("spiral",)}, "spiral"),
        ({"accelerations": (0.5,)}, "acceleration"),
        ({"accelerations": (4.0,), "center_fraction": 0.5}, "leaves no samples"),
        ({"coils": (0,)}, "virtual coil"),
        ({"join_coils": -1.0}, "join_coils is -1; it must be above 0"),
        ({"join_coils": 1e39}, "at most 1e\\+06"),
        ({"coil_study": (0,)}, "coil study"),
        ({"slices": "first"}, "no list of slices"),
        ({"band_radius": 1.5}, "between 0 and 1"),
        ({"band_shape": "star"}, "disc or square"),
        ({"pair_by": "patient"}, "volume, slice or pattern"),
        ({"grid": "polar"}, "cropped or native"),
    ],
)
def test_impossible_evaluations_are_refused(changes, text):
    with pytest.raises(RequestError, match=text):
        Evaluation(**({"models": ("zero-filled",)} | changes))


def test_evaluation_is_its_json():
    evaluation = Evaluation(("zero-filled",), accelerations=(4.0, 8.0), coils=(None, 4), coil_study=(2,), slices="0:3")
    assert Evaluation.from_dict(json.loads(json.dumps(evaluation.to_dict()))) == evaluation
    with pytest.raises(RequestError, match="no field 'colour'"):
        Evaluation.from_dict({"models": ["zero-filled"], "colour": "red"})


def test_patterns_without_acceleration_come_once(tmp_path):
    np.save(tmp_path / "mask.npy", np.ones(SIZE, bool))
    evaluation = Evaluation(
        ("zero-filled",),
        masks=("none", f"file:{tmp_path / 'mask.npy'}", "random"),
        accelerations=(4.0, 8.0),
        seeds=(1, 2),
    )
    assert len(evaluation.patterns()) == 1 + 1 + 4


def test_methods_have_names_of_their_own(tmp_path):
    names = ["pcrnn-s", "x/pcrnn-s.safetensors", "x/other.safetensors"]
    assert method_names([Request(name) for name in names]) == ["pcrnn-s", "x/pcrnn-s.safetensors", "other"]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("cs-tv:mu=3", "no parameter 'mu'"),
        ("cs-tv:lambda=much", "a number"),
        ("pcrnn-s:n_iterations=3", "those of its weights"),
        ("cs-tv:lambda=1,2", "sets nothing"),
    ],
)
def test_impossible_parameters_are_refused(entry, words):
    with pytest.raises(ModelError, match=words):
        Evaluation((entry,))
