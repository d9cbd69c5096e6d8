"""ISMRMRD raw data of 3-D scans: partitions become slices, and what of a slab was not measured."""

from __future__ import annotations

import numpy as np
import pytest

import recon
from recon.errors import FileError


def transformed(kspace, axis):
    """Centred orthonormal Fourier transform along one axis: numpy only."""
    shifted = np.fft.ifftshift(kspace.astype(np.complex128), axis)
    return np.fft.fftshift(np.fft.fft(shifted, axis=axis, norm="ortho"), axis)


@pytest.mark.parametrize("n_partitions", [8, 7])
@pytest.mark.parametrize("n_averages", [1, 2])
def test_partitions_become_slices(readouts, raw_header, write_raw, noise, only, n_partitions, n_averages) -> None:
    slices = noise(n_partitions, 2, 32, 20)
    partitions = transformed(slices, 0)
    found = []
    for number in range(n_partitions):
        for average in range(n_averages):
            placed = {"slice": 0, "kspace_encode_step_2": number, "position": (10, 20, 30), "average": average}
            found += readouts(partitions[number : number + 1], **placed)
    xml = raw_header((32, 20, n_partitions), partition_limits=(n_partitions // 2, n_partitions - 1))
    series = only(recon.open_study(write_raw(found, xml)))
    assert series.n_slices == n_partitions and series.has_reference and series.matrix == (32, 20)
    for index in range(n_partitions):
        np.testing.assert_allclose(series.read(index).kspace.numpy(), slices[index], atol=1e-5)
    heights = [position[2] for position in series.geometry.positions_mm]
    np.testing.assert_allclose(heights, 30 + 5.0 * (np.arange(n_partitions) - n_partitions // 2))
    assert series.geometry.slice_thickness_mm == 5


def three_dimensional(readouts, slices, kept, **values):
    partitions = transformed(slices, 0)
    found = []
    for number in range(len(slices)):
        placed = {"slice": 0, "kspace_encode_step_2": number, "position": (0, 0, 0)}
        columns = [column for column in range(slices.shape[-1]) if kept[number, column]]
        found += readouts(partitions[number : number + 1], columns=columns, **(placed | values))
    return found


def test_oversampled_slab_shows_its_centre(readouts, raw_header, write_raw, noise, only) -> None:
    slices = noise(8, 2, 32, 20)
    found = three_dimensional(readouts, slices, np.ones((8, 20), bool), slice_dir=(0, 0, -1))
    series = only(recon.open_study(write_raw(found, raw_header((32, 20, 8), (32, 20, 6)))))
    assert series.n_slices == 6
    # The slice direction points down here, so partitions are turned over to go up.
    for index, place in enumerate((6, 5, 4, 3, 2, 1)):
        np.testing.assert_allclose(series.read(index).kspace.numpy(), slices[place], atol=1e-5)
    np.testing.assert_allclose([one[2] for one in series.geometry.positions_mm], [-10, -5, 0, 5, 10, 15])


def test_slab_undersampled_along_phase_encodes(readouts, raw_header, write_raw, noise, only) -> None:
    slices, mask = noise(6, 2, 32, 20), np.isin(np.arange(20), [0, 4, 8, 9, 10, 11, 12, 16])
    found = three_dimensional(readouts, slices, np.tile(mask, (6, 1)))
    series = only(recon.open_study(write_raw(found, raw_header((32, 20, 6)))))
    np.testing.assert_array_equal(series.acquired_mask, mask[None])
    np.testing.assert_allclose(series.read(2).kspace.numpy(), slices[2] * mask, atol=1e-5)


def test_slab_undersampled_along_partitions_is_declined(readouts, raw_header, write_raw, noise) -> None:
    kept = np.ones((8, 20), bool)
    kept[::2] = False
    kept[4] = True
    path = write_raw(three_dimensional(readouts, noise(8, 2, 32, 20), kept), raw_header((32, 20, 8)))
    with pytest.raises(FileError, match="3-D scan undersampled along its partitions"):
        recon.open_study(path)


def test_slab_without_the_corners_of_kspace(readouts, raw_header, write_raw, noise, only) -> None:
    z, x = np.linspace(-1, 1, 16)[:, None], np.linspace(-1, 1, 20)[None]
    kept, slices = z**2 + x**2 <= 1.05, noise(16, 2, 8, 20)
    series = only(recon.open_study(write_raw(three_dimensional(readouts, slices, kept), raw_header((8, 20, 16)))))
    assert series.has_reference and any("corners of k-space" in note for note in series.notes)
    expected = transformed(transformed(slices, 0) * kept[:, None, None], 0)[(-np.arange(16)) % 16]
    np.testing.assert_allclose(series.read(3).kspace.numpy(), expected[3], atol=1e-5)


@pytest.mark.parametrize("step_2", [0, 12])
@pytest.mark.parametrize("recon_depth", [25, None])
def test_slices_whose_header_counts_them_as_partitions(
    readouts, raw_header, write_raw, noise, only, step_2, recon_depth
) -> None:
    kspace = noise(3, 2, 32, 20)
    xml = raw_header((32, 20, 25), partition_limits=(12, 24))
    if recon_depth is None:
        before, after = xml.split("<reconSpace>")
        xml = before + after.split("</reconSpace>")[1]
    series = only(recon.open_study(write_raw(readouts(kspace, kspace_encode_step_2=step_2), xml)))
    assert (series.n_slices, series.matrix) == (3, (32, 20))
    for index, slice_ in enumerate(kspace):
        np.testing.assert_array_equal(series.read(index).kspace.numpy(), slice_)
    assert series.geometry.slice_thickness_mm == 5 and not series.geometry.is_synthetic
    assert not any("artition" in note for note in series.notes)
