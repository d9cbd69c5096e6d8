"""ISMRMRD raw data with a noise scan: taken as it was measured, or left out with the reason."""

from __future__ import annotations

import numpy as np
import pytest

import recon

NOISE = 19


def test_noise_measurement(readouts, readout, raw_header, write_raw, noise, only) -> None:
    measured = noise(3, 4, 256)
    found = [*(readout(samples, 0, NOISE) for samples in measured), *readouts(noise(1, 4, 32, 24))]
    series = only(recon.open_study(write_raw(found, raw_header((32, 24)), name="as.h5")))
    np.testing.assert_array_equal(series.noise, np.concatenate(list(measured), axis=1))
    result = recon.run(series, recon.Request("zero-filled", recon.MaskSpec("none"), device="cpu"))
    assert any("pre-whitened with the 768 noise samples" in one for one in result.warnings)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("few", "7 samples for 4 coils"),
        ("dead", "does not determine the covariance"),
        ("copies", "does not determine the covariance"),
        ("NaN", "1 of its 1024 samples are NaN"),
    ],
)
def test_noise_that_does_not_determine_its_covariance_is_ignored(
    readouts, readout, raw_header, write_raw, noise, only, kind, words
) -> None:
    measured = noise(4, 256)
    if kind == "few":
        measured = measured[:, :7]
    elif kind == "dead":
        measured[2] = 0
    elif kind == "copies":
        measured[2] = measured[1]
    else:
        measured[2, 3] = np.nan
    found = [readout(measured, 0, NOISE), *readouts(noise(1, 4, 32, 24))]
    series = only(recon.open_study(write_raw(found, raw_header((32, 24)))))
    assert series.noise is None
    assert any("The noise scan is ignored" in note and words in note for note in series.notes)
    recon.run(series, recon.Request("zero-filled", recon.MaskSpec("none"), device="cpu"))


def test_noise_stays_as_it_was_measured(readouts, readout, raw_header, write_raw, noise, only) -> None:
    """Whitening keeps the level of the k-space, so that no bandwidth has to scale the noise."""
    measured = noise(4, 256)
    bandwidth = "<relativeReceiverNoiseBandwidth>0.8</relativeReceiverNoiseBandwidth>"
    system = f"<acquisitionSystemInformation>{bandwidth}</acquisitionSystemInformation>"
    found = [readout(measured, 0, NOISE, sample_time_us=10), *readouts(noise(1, 4, 32, 24))]
    series = only(recon.open_study(write_raw(found, raw_header((32, 24), more=system))))
    np.testing.assert_array_equal(series.noise, measured)


def test_noise_of_other_coils_is_ignored(readouts, readout, raw_header, write_raw, noise, only) -> None:
    found = [readout(noise(2, 256), 0, NOISE), *readouts(noise(1, 4, 32, 24))]
    series = only(recon.open_study(write_raw(found, raw_header((32, 24)))))
    assert series.noise is None and any("noise scan is ignored" in note for note in series.notes)
