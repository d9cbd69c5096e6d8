"""Requests serialise, and refuse nonsense by name."""

from __future__ import annotations

import json
from pathlib import Path
from types import MappingProxyType

import h5py
import numpy as np
import pytest
import torch

import recon
from recon.errors import MRIError, RequestError
from recon.masks import MaskSpec, make
from recon.request import Request


def test_round_trip():
    request = Request("oucr", MaskSpec("random", 8, seed=3), slices=(2, 1), coils=4, grid="native", precision="fp32")
    assert Request.from_json(request.to_json()) == request
    assert Request.from_json(Request().to_json()) == Request()


@pytest.mark.parametrize(
    "text",
    [
        "{", "[]", '{"speed": 1}', '{"mask": {"kinds": "random"}}', '{"grid": "polar"}', '{"slices": []}',
        '{"coils": 0}', '{"mask": 3}', '{"mask": null}', '{"mask": {"kind": 3}}', '{"mask": {"acceleration": "4"}}',
        '{"slices": 3}', '{"slices": "012"}', '{"slices": [null]}', '{"coils": "4"}', '{"model": 3}', '{"device": []}',
        '{"overrides": 3}', "[" * 100_000, '{"join_coils": 0}', '{"join_coils": true}', '{"join_coils": NaN}',
    ],
)  # fmt: skip
def test_nonsense_is_refused(text):
    with pytest.raises(RequestError):
        Request.from_json(text)


def test_numbers_of_numpy_and_paths_are_taken_and_serialise():
    mask = MaskSpec("random", np.float32(4), center_fraction=np.float64(0.08), seed=np.int64(3), offset=np.int32(1))
    request = Request(Path("a.safetensors"), mask, np.arange(2), np.int64(4), device=torch.device("cpu"))
    assert Request.from_json(request.to_json()) == request
    assert (request.model, request.slices, request.device) == ("a.safetensors", (0, 1), "cpu")
    assert np.array_equal(make(mask, (64, 64)).mask, make(MaskSpec("random", 4, 0.08, 3), (64, 64)).mask)


def test_a_slice_is_asked_for_once_and_any_mapping_serialises():
    request = Request(slices=(2, 0, 2), overrides=MappingProxyType({"lambda_": 0.02}))
    assert request.slices == (2, 0)
    assert Request.from_json(request.to_json()) == request


def test_an_image_too_small_for_ssim_is_saved_with_its_other_scores(tmp_path):
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "tiny.h5", "w") as file:
        file["kspace"] = (rng.standard_normal((1, 2, 6, 20)) + 1j * rng.standard_normal((1, 2, 6, 20))).astype("c8")
    [series] = recon.open_study(tmp_path / "tiny.h5").series
    result = recon.run(series, Request("zero-filled", MaskSpec("equispaced", 2, 0.2, seed=1), device="cpu"))
    record = json.loads(result.save(tmp_path / "out", ["hdf5"])[-1].read_text())
    assert record["metrics"]["ssim"] == {"volume": None, "slices": [None]}
    assert record["metrics"]["psnr"]["volume"] > 0


@pytest.mark.parametrize(
    "values",
    [
        {"kind": None}, {"acceleration": None}, {"acceleration": True}, {"acceleration": 1e308}, {"seed": 1.5},
        {"acceleration": 10**400}, {"seed": [1]}, {"center_fraction": "0.08"}, {"offset": "a"}, {"offset": -1},
    ],
)  # fmt: skip
def test_masks_of_nonsense_are_refused(values):
    with pytest.raises(RequestError):
        MaskSpec(**values)


@pytest.mark.parametrize("shape", [None, (64,), (0, 8), (8, -1), ("a", "b"), (8, 8.0)])
def test_shapes_of_nonsense_are_refused(shape):
    with pytest.raises(RequestError):
        make(MaskSpec("random", 4, seed=1), shape)


def test_a_study_in_place_of_a_series_is_named():
    with pytest.raises(MRIError, match=r"the series is a NoneType; a Series was expected, such as study.series\[0\]"):
        recon.run(None, Request("zero-filled"))
