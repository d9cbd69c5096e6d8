"""Sampling patterns: fastMRI's bit for bit, and what every pattern must keep."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon import masks
from recon.errors import FileError, RequestError
from recon.masks import MaskSpec


def test_line_masks_equal_fastmri(vectors):
    golden = json.loads((vectors / "masks.json").read_text())["vectors"]
    single = [vector for vector in golden if len(vector["accelerations"]) == 1]
    assert len(single) > 300
    for vector in single:
        by_name = vector["seed_kind"] == "fname"
        spec = MaskSpec(
            vector["type"].replace("_", "-"),
            vector["accelerations"][0],
            vector["center_fractions"][0],
            seed="filename" if by_name else vector["seed"],
            offset=vector["offset"],
        )
        made = masks.make(spec, tuple(vector["shape"][-3:-1]), filename=vector["seed"] if by_name else None)
        assert "".join(str(int(kept)) for kept in made.mask[0]) == vector["mask"], vector
        assert made.n_low_frequency == vector["num_low"]


def test_worked_example():
    made = masks.make(MaskSpec("random", 4, 0.08), (320, 320), filename="file1000000.h5")
    assert made.n_low_frequency == 26
    assert list(np.flatnonzero(made.mask[0])[:10]) == [4, 9, 10, 14, 23, 24, 28, 29, 32, 35]
    assert made.mask.sum() == 76


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from([*masks.LINE_KINDS, *masks.POINT_KINDS]),
    acceleration=st.integers(2, 10),
    rows=st.integers(24, 90),
    columns=st.integers(24, 90),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_pattern_keeps_its_centre_and_repeats(kind, acceleration, rows, columns, seed):
    spec = MaskSpec(kind, acceleration, seed=seed)
    try:
        made = masks.make(spec, (rows, columns))
    except RequestError as error:
        assert "lower" in str(error)
        return
    again = masks.make(spec, (rows, columns))
    assert np.array_equal(made.mask, again.mask)
    assert made.mask.dtype == bool
    assert made.mask.shape == ((1, columns) if kind in masks.LINE_KINDS else (rows, columns))
    counted = masks.count_low_frequency(made.mask)
    # The centre of a point mask is as wide as the grid is, and as high as the grid is: the square fits its short side.
    high = rows if kind in masks.LINE_KINDS else max(round(rows * spec.fraction), 4)
    assert counted >= min(made.n_low_frequency, high)
    assert made.acceleration == made.mask.size / made.mask.sum()


@pytest.mark.parametrize("kind", masks.POINT_KINDS)
@pytest.mark.parametrize("acceleration", [3, 4, 8])
def test_point_masks_meet_the_acceleration_exactly(kind, acceleration):
    made = masks.make(MaskSpec(kind, acceleration, seed=3), (120, 97))
    assert made.mask.sum() == round(120 * 97 / acceleration)


def test_poisson_points_keep_their_distance():
    made = masks.make(MaskSpec("poisson-2d", 6, 0.04, seed=0), (96, 96))
    edge = made.mask[:20]
    both = edge[:, 1:] & edge[:, :-1]
    # Random points of this density would touch in edge.sum() * density places.
    assert both.sum() < 0.25 * edge.sum() * edge.mean()


def test_gaussian_density_falls_towards_the_edge():
    mask = masks.make(MaskSpec("gaussian-2d", 4, 0.04, seed=0), (128, 128)).mask
    assert mask[48:80, 48:80].mean() > 3 * mask[:16].mean()
    assert mask[:16].sum() > 0


@pytest.mark.parametrize("kind", [*masks.LINE_KINDS, *masks.POINT_KINDS])
def test_centre_that_uses_all_samples_is_refused(kind):
    with pytest.raises(RequestError, match="leaves no samples outside the centre"):
        MaskSpec(kind, 4, 0.25)


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "spiral"},
        {"acceleration": 0.5},
        {"acceleration": float("nan")},
        {"center_fraction": 1.5},
        {"seed": "today"},
        {"seed": -1},
    ],
)
def test_impossible_patterns_are_refused(values):
    with pytest.raises(RequestError):
        MaskSpec(**values)


def test_mask_files(tmp_path):
    line = np.zeros(40, np.float32)
    line[::3] = 1
    np.save(tmp_path / "line.npy", line)
    made = masks.make(MaskSpec(f"file:{tmp_path / 'line.npy'}"), (30, 40))
    assert np.array_equal(made.mask, line[None] > 0)
    points = np.random.default_rng(0).random((30, 40)) > 0.5
    np.save(tmp_path / "points.npy", points)
    assert np.array_equal(masks.make(MaskSpec(f"file:{tmp_path / 'points.npy'}"), (30, 40)).mask, points)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.ones(41), "shape"),
        (np.ones((2, 3, 40)), "shape"),
        (np.zeros(40), "keeps no sample"),
        (np.full(40, np.nan), "NaN"),
        (np.full(40, 0.5), r"0\.5; 0 and 1 were expected"),
        (np.linspace(-1, 1, 40), "-1; 0 and 1 were expected"),
        (np.array(["a"] * 40), "values"),
    ],
)
def test_unfit_mask_files_are_refused(tmp_path, array, words):
    np.save(tmp_path / "mask.npy", array)
    with pytest.raises(FileError, match=words):
        masks.make(MaskSpec(f"file:{tmp_path / 'mask.npy'}"), (30, 40))


def test_mask_files_never_execute(tmp_path):
    np.save(tmp_path / "mask.npy", np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(FileError, match="not a readable"):
        masks.make(MaskSpec(f"file:{tmp_path / 'mask.npy'}"), (30, 40))
    (tmp_path / "noise.npy").write_bytes(b"\x00\x01garbage")
    # NumPy takes what it does not know for a pickle, and advises to allow that.
    with pytest.raises(FileError, match="no array of numbers") as caught:
        masks.make(MaskSpec(f"file:{tmp_path / 'noise.npy'}"), (30, 40))
    assert "pickle" not in str(caught.value)
    with pytest.raises(FileError, match="no such mask file"):
        masks.make(MaskSpec("file:/nowhere.npy"), (30, 40))


def test_a_specification_as_documented_makes_a_mask_without_a_file():
    for kind in masks.KINDS:
        first, second = (masks.make(MaskSpec(kind, 4), (64, 64)).mask for _ in range(2))
        assert np.array_equal(first, second)
        assert np.array_equal(first, masks.make(MaskSpec(kind, 4, seed=0), (64, 64)).mask)
    with pytest.raises(RequestError, match="the file name is 3"):
        masks.make(MaskSpec("random", 4), (64, 64), 3)


def test_a_stored_pattern_whose_rows_are_alike_is_made_of_lines(tmp_path):
    lines = masks.make(MaskSpec("random", 4, seed=3), (48, 40))
    np.save(tmp_path / "whole.npy", np.repeat(lines.mask, 48, axis=0))
    stored = masks.make(MaskSpec(f"file:{tmp_path / 'whole.npy'}"), (48, 40))
    assert stored.is_line_mask and np.array_equal(stored.mask, lines.mask)
    assert stored.n_low_frequency == lines.n_low_frequency
