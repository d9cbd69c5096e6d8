"""Window and level arithmetic."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from app.views import levels


def test_percentiles_ignore_spikes_and_what_is_not_a_number():
    image = np.linspace(0, 1, 10_000, dtype=np.float32).reshape(100, 100)
    image[0, 0], image[0, 1], image[0, 2] = 1e6, np.nan, np.inf
    low, high = levels.Percentile(0.5, 99.5).limits(image)
    assert low == pytest.approx(0.005, abs=1e-3)
    assert high == pytest.approx(0.995, abs=1e-3)


def test_matched_takes_the_reference_and_falls_back_to_the_image():
    image, reference = np.full((4, 4), 7.0), np.linspace(1.0, 3.0, 1001)[None]
    assert levels.MatchedToReference(100.0).limits(image, reference) == (1.0, 3.0)
    assert levels.MatchedToReference().limits(image, reference) == (1.0, pytest.approx(2.996))
    low, high = levels.MatchedToReference().limits(image)
    assert low == 7.0
    assert high > low


def test_every_preset_gives_a_usable_window_and_has_its_own_key():
    image = np.random.default_rng(0).random((32, 32)) * 1e-4
    keys = [preset.key for preset in levels.PRESETS]
    assert len(set(keys)) == len(keys)
    assert len({preset.digit for preset in levels.PRESETS}) == len(keys)
    for preset in levels.PRESETS:
        low, high = preset.policy.limits(image, image)
        assert low < high <= 1.01e-4
    assert levels.preset("auto").policy == levels.Percentile()
    with pytest.raises(KeyError, match="unknown"):
        levels.preset("bone")


def test_bright_presets_are_ordered():
    image = np.random.default_rng(0).random((64, 64))
    white = [levels.preset(key).policy.limits(image)[1] for key in ("noise", "bright", "soft", "auto")]
    assert white == sorted(white)


@pytest.mark.parametrize("image", [np.zeros((3, 3)), np.full((3, 3), np.nan), np.full((2, 2), 1e-12)])
def test_flat_images_still_have_a_window(image):
    for preset in levels.PRESETS:
        low, high = preset.policy.limits(image)
        assert np.float32(high) > np.float32(low)


@given(
    arrays(np.float32, (5, 7), elements=st.floats(width=32, allow_nan=True, allow_infinity=True)),
    st.floats(-1e3, 1e3),
    st.floats(1e-3, 1e3),
)
def test_bytes_are_what_the_formula_says(image, low, width):
    with np.errstate(over="ignore", invalid="ignore"):
        grey = levels.Quantiser().grey(image, low, low + width)
        share = (image.astype(np.float64) - low) / width * 255
    expected = np.clip(np.nan_to_num(share, nan=0.0, posinf=255, neginf=0), 0, 255)
    assert np.abs(grey - expected).max() <= 0.6 + 1e-6 * max(abs(low) / width * 255, 1) * 255


def test_buffers_are_reused():
    quantiser = levels.Quantiser()
    image = np.random.default_rng(0).random((16, 16)).astype(np.float32)
    first = quantiser.grey(image, 0, 1)
    colours = quantiser.colour(first, levels.packed(levels.gray_table()))
    second = quantiser.grey(image * 0.5, 0, 1)
    assert second is first
    assert quantiser.colour(second, levels.packed(levels.gray_table())) is colours


def test_gain_multiplies_the_brightness_of_an_error():
    error = np.array([[0.0, 0.01, 0.1]], dtype=np.float32)
    at_one = levels.Quantiser().error(error, 1.0, 1.0).astype(int)
    at_five = levels.Quantiser().error(error, 1.0, 5.0).astype(int)
    assert at_five[0].tolist() == [0, 13, 128]
    assert at_one[0].tolist() == [0, 3, 26]


@pytest.mark.parametrize("name", ["inferno", "viridis"])
def test_inferno_and_viridis_are_those_of_matplotlib(name):
    matplotlib = pytest.importorskip("matplotlib")
    expected = np.round(np.array(matplotlib.colormaps[name](np.arange(256))) * 255)
    assert np.abs(levels.COLOUR_MAPS[name]() - expected).max() <= 1


@pytest.mark.parametrize("name", levels.COLOUR_MAPS)
def test_colours_of_magnitudes_get_lighter_evenly(name):
    lightness = levels.COLOUR_MAPS[name]()[:, :3] @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(lightness) > -0.5).all() and lightness[-1] > lightness[0] + 150


def test_packed_colours_are_argb():
    table = np.tile(np.array([[1, 2, 3, 255]], dtype=np.uint8), (256, 1))
    assert levels.packed(table)[0] == 0xFF010203


def test_drag_right_widens_and_up_brightens():
    limits = (0.0, 100.0)
    low, high = levels.widened(limits, right=0.5, up=0.0, span=100.0)
    assert high - low > 100
    assert 0.5 * (low + high) == pytest.approx(50)
    low, high = levels.widened(limits, right=0.0, up=0.2, span=100.0)
    assert high - low == pytest.approx(100)
    assert 0.5 * (low + high) < 50


@given(st.floats(-50, 50), st.floats(-50, 50), st.floats(1e-12, 1e6))
def test_no_drag_closes_or_loses_the_window(right, up, span):
    low, high = levels.widened((0.0, span), right, up, span)
    assert np.isfinite([low, high]).all()
    assert np.float32(high) > np.float32(low)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (7.264e-4, "7.26e-4"), (0.8123, "0.812"), (31.25, "31.2"), (123.4, "123"), (1234567.0, "1.23e6"),
     (float("nan"), "–"), (-2.5e-5, "-2.50e-5")],
)  # fmt: skip
def test_values_are_short(value, text):
    assert levels.format_value(value, 3) == text
