"""Slices that were sampled otherwise than their series: found when they are read, and never used like the others."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from recon import Request, open_study, pipeline
from recon.errors import FileError, SliceError
from recon.io import sampling
from recon.masks import MaskSpec

N_SLICES, N_COILS, ROWS, COLUMNS = 4, 3, 48, 40
NONE = MaskSpec("none")


@pytest.fixture
def full():
    random = np.random.default_rng(0)
    shape = (N_SLICES, N_COILS, ROWS, COLUMNS)
    return (random.standard_normal(shape) + 1j * random.standard_normal(shape)).astype(np.complex64)


@pytest.fixture
def lines():
    """Two line patterns that share their centre."""
    first, second = np.zeros((2, COLUMNS), bool)
    first[::3], second[1::3] = True, True
    first[16:24] = second[16:24] = True
    return first, second


@pytest.fixture
def store(tmp_path):
    def store(kspace, mask=None, name="scan.h5"):
        path = tmp_path / name
        if path.suffix == ".npy":
            np.save(path, kspace)
        else:
            with h5py.File(path, "w") as file:
                file["kspace"] = kspace
                if mask is not None:
                    file["mask"] = mask
        return open_study(path).series[0]

    return store


def readable(series):
    """Read all slices; return the numbers of those that are as their series is, and the errors of the rest."""
    good, errors = [], {}
    for index in range(series.n_slices):
        try:
            series.read(index)
        except SliceError as error:
            errors[index] = str(error)
        else:
            good.append(index)
    return good, errors


def test_slices_of_another_line_pattern_are_refused_one_by_one(full, lines, store):
    full[::2] *= lines[0]
    full[1::2] *= lines[1]
    good, errors = readable(store(full))
    assert good == [0, 2] and set(errors) == {1, 3}
    assert "(counted from 0) was sampled at other places than its series" in errors[1]
    inside = slice(*np.flatnonzero(lines[1])[[0, -1]] + [0, 1])
    empty = (lines[0] & ~lines[1])[inside].sum() / lines[0][inside].sum()
    assert f"{empty:.0%} of the mask of the series is empty in it" in errors[1]


def test_a_volume_is_made_of_the_slices_that_are_alike(full, lines, store):
    full[::2] *= lines[0]
    full[1::2] *= lines[1]
    plan = pipeline.Plan(store(full), Request(model="zero-filled", mask=NONE))
    result = plan.run(spares_others=True)
    assert result.indices == (0, 2) and set(result.left_out) == {1, 3}


def test_slices_of_another_point_pattern_are_refused(full, store):
    random = np.random.default_rng(1)
    masks = random.random((2, ROWS, COLUMNS)) < 0.3
    full[:3] *= masks[0]
    full[3] *= masks[1]
    good, errors = readable(store(full))
    assert good == [0, 1, 2] and "of the mask of the series is empty in it" in errors[3]


def test_an_undersampled_slice_of_a_full_series_is_no_reference(full, lines, store):
    full[[0, 3]] *= lines[0]
    series = store(full)
    assert series.has_reference and series.acquired_mask is None
    good, errors = readable(series)
    assert good == [1, 2] and "of the columns of the series are empty in it" in errors[0]


def test_an_empty_middle_slice_says_nothing_of_the_others(full, lines, store):
    full *= lines[0]
    full[2] = 0
    for name in ("scan.h5", "scan.npy"):
        series = store(full, name=name)
        assert not series.has_reference and np.array_equal(series.acquired_mask[0], lines[0])
        assert readable(series)[0] == [0, 1, 3]


@pytest.mark.parametrize("n_slices", [2, 3, 4])
def test_one_lost_line_of_the_middle_slice_does_not_undersample_the_others(full, store, n_slices):
    full[n_slices // 2, :, :, 9] = 0
    series = store(full[:n_slices])
    assert series.has_reference and series.acquired_mask is None
    assert readable(series)[1] == {}


def test_coils_that_are_dead_do_not_hide_the_pattern(full, lines, store):
    kspace = np.concatenate([np.zeros_like(full), np.zeros_like(full), full], axis=1) * lines[0]
    series = store(kspace)
    assert np.array_equal(series.acquired_mask[0], lines[0]) and readable(series)[1] == {}


def test_true_zeros_are_no_other_pattern(full, lines, store):
    values = full[:3].copy()
    values[0, :, :, ::4] = 0  # a quarter of the columns of a slice without signal, of data without noise
    assert readable(store(values))[1] == {}
    values = full[:3] * lines[0]
    values[0, :, :, np.flatnonzero(lines[0])[::4]] = 0
    assert readable(store(values, mask=lines[0]))[1] == {}


def test_corners_sides_and_more_data_than_the_mask_has_are_no_other_pattern(full, store):
    random = np.random.default_rng(2)
    mask = random.random((ROWS, COLUMNS)) < 0.5
    y, x = np.linspace(-1, 1, ROWS)[:, None], np.linspace(-1, 1, COLUMNS)
    for region in (y**2 + x**2 <= 1, (abs(x) < 0.7) & (abs(y) < 0.7), x + 0 * y > -0.4):
        assert readable(store(full * (mask & region), mask=mask))[1] == {}
    columns = np.zeros(COLUMNS, bool)
    columns[::4] = True
    more = columns.copy()
    more[15:25] = True  # calibration lines that the mask leaves out
    assert readable(store(full * more, mask=columns))[1] == {}


def test_arrays_are_compared_by_a_coil_that_measured_something(full, lines, store):
    full[::2] *= lines[0]
    full[1::2] *= lines[1]
    full[:, 0] = 0
    with pytest.raises(FileError, match=r"slice 1 .* other phase encodes than slice 0"):
        store(full, name="scan.npy")


@pytest.mark.parametrize("change", [np.logical_not, lambda mask: np.roll(mask, 1)])
def test_a_stored_mask_that_the_data_belie_is_not_believed(full, lines, store, change):
    full *= lines[0]
    good, errors = readable(store(full, mask=change(lines[0])))
    assert good == [] and "mend it (1 means sampled)" in errors[0]
    good, errors = readable(store(full, mask=lines[0]))
    assert errors == {}


def test_a_transposed_point_mask_is_not_believed(full, store):
    random = np.random.default_rng(1)
    side = min(ROWS, COLUMNS)
    full = full[..., :side, :side]
    mask = random.random((side, side)) < 0.3
    full *= mask
    assert readable(store(full, mask=mask))[1] == {}
    assert set(readable(store(full, mask=mask.T))[1]) == set(range(N_SLICES))


def test_a_mask_may_keep_columns_of_the_padding_and_data_some_true_zeros(full, lines, store):
    full[..., :3] = full[..., -4:] = 0
    full *= lines[0]
    assert readable(store(full, mask=lines[0] | (np.arange(COLUMNS) < 3)))[1] == {}
    full[0, 0] = 0  # a dead coil
    full[1, :, ::2] = 0  # and every other row
    assert readable(store(full, mask=lines[0]))[1] == {}


def test_a_full_scan_under_a_mask_of_its_own_stays_full(full, lines, store):
    series = store(full, mask=lines[0])
    assert series.has_reference and readable(series)[1] == {}


def test_a_side_that_was_never_measured_is_named(full, store):
    full[..., :12] = 0
    notes = " ".join(store(full).notes)
    assert "12 of 40 columns are empty on one side of the k-space (partial Fourier?)" in notes
    full[..., -11:] = 0  # padding on both sides
    assert "one side" not in " ".join(store(full, name="padded.h5").notes)


def test_what_is_alike_costs_a_look_at_a_few_rows(full):
    class Counting(np.ndarray):
        read = 0

        def __getitem__(self, item):
            part = super().__getitem__(item)
            Counting.read += part.size
            return part

    assert sampling.differs(full[0].view(Counting), None, is_full=True) == ""
    assert Counting.read < full[0].size / 4
