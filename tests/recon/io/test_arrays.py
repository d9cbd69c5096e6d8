"""Arrays of NumPy and BART: axes in the order that is promised, equal to the fastMRI layout; what else they may be."""

import shutil
import subprocess

import h5py
import numpy as np
import pytest
import torch

import recon
from recon.errors import FileError
from recon.fourier import ifft2c
from recon.io import cfl

needs_bart = pytest.mark.skipif(shutil.which("bart") is None, reason="BART is not installed")


@pytest.fixture
def kspace(real_brain):
    """Give measured k-space ``(slice, coil, y, x)``."""
    with h5py.File(real_brain) as file:
        return file["kspace"][:]


@pytest.fixture
def save(tmp_path):
    def _save(values, name="scan.npy"):
        np.save(tmp_path / name, values)
        return tmp_path / name

    return _save


def test_kspace_of_numpy_is_that_of_fastmri(save, only, kspace, real_brain):
    for values in (kspace, kspace[0], np.asfortranarray(kspace), kspace.astype(np.complex128)):
        series = only(recon.open_study(save(values)))
        assert (series.kind, series.n_slices, series.n_coils, series.matrix) == ("numpy", 1, 2, (128, 128))
        assert series.has_kspace and not series.is_simulated and series.stem == "scan"
        assert np.array_equal(series.read(0).kspace, kspace[0])
    single = only(recon.open_study(save(kspace[0, 1])))
    assert single.n_coils == 1 and np.array_equal(single.read(0).kspace[0], kspace[0, 1])
    assert any("axes are taken as (y, x)" in note for note in single.notes)
    # The same request gives the same image, whichever file the samples lie in.
    request = recon.Request(model="zero-filled", mask=recon.MaskSpec("random", acceleration=4, seed=1))
    ours = recon.run(only(recon.open_study(save(kspace))), request)
    theirs = recon.run(only(recon.open_study(real_brain)), request)
    assert np.allclose(ours.final, theirs.final, rtol=1e-5, atol=1e-6 * theirs.final.max())
    assert ours.metrics["psnr"]["volume"] == pytest.approx(theirs.metrics["psnr"]["volume"], abs=0.01)


def test_lines_that_are_zero_were_not_measured(save, only, noise):
    values = noise(2, 3, 32, 40)
    values[..., ::2] = 0
    series = only(recon.open_study(save(values)))
    assert not series.has_reference and np.array_equal(series.acquired_mask[0], np.arange(40) % 2 == 1)
    assert "50.0% of the samples" in series.notes[0]


def test_real_values_are_images(save, only):
    images = np.abs(np.random.default_rng(1).standard_normal((3, 20, 24)))
    series = only(recon.open_study(save(images)))
    assert (series.kind, series.n_slices, series.matrix) == ("images", 3, (20, 24)) and series.is_simulated
    assert np.allclose(series.source.image(1), images[1], rtol=1e-6)
    assert "simulated" in series.notes[0]
    flat = only(recon.open_study(save((images[0] * 100).astype(np.uint16)), recon.simulate.SimulationSpec(n_coils=7)))
    assert flat.read(0).kspace.shape == (7, 20, 24)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.ones((16, 16), bool), r"as a mask does \(`--mask file:scan.npy`\)"),
        (np.ones(16), "shape (16,)"),
        (np.ones((2, 3, 20, 20)), "shape (2, 3, 20, 20)"),
        (np.ones((1, 2, 3, 4, 5), np.complex64), "shape (1, 2, 3, 4, 5)"),
        (np.ones((0, 20, 20), np.complex64), "shape (0, 20, 20)"),
        (np.array(["a"] * 400).reshape(20, 20), "<U1 values"),
        (np.ones((4, 20)), "at least 16 × 16"),
        (np.full((20, 20), np.nan), "holds NaN"),
    ],
)
def test_other_arrays_are_declined(save, values, words):
    with pytest.raises(FileError) as caught:
        recon.open_study(save(values))
    assert str(save(values)) in str(caught.value) and words.replace("\\", "") in str(caught.value)


def test_pickles_archives_and_cut_files(save, tmp_path, kspace):
    with pytest.raises(FileError, match=r"is not a readable \.npy file"):
        recon.open_study(save(np.array([{}, {}], object)))
    whole = save(kspace).read_bytes()
    for n_bytes, words in ((8, "not a readable"), (60, "not a readable"), (len(whole) - 8, "was cut off")):
        (tmp_path / "cut.npy").write_bytes(whole[:n_bytes])
        with pytest.raises(FileError, match=words):
            recon.open_study(tmp_path / "cut.npy")
    np.savez(tmp_path / "many.npz", kspace=kspace)
    with pytest.raises(FileError, match="ZIP archive"):
        recon.open_study(tmp_path / "many.npz")


def test_a_file_that_was_changed_is_not_read_on(save, tmp_path, kspace, noise, only):
    cfl.write(tmp_path / "scan", kspace[0].transpose(1, 2, 0)[:, :, None])
    opened = [only(recon.open_study(save(kspace))), only(recon.open_study(tmp_path / "scan"))]
    images = only(recon.open_study(save(np.abs(kspace[0]), "images.npy")))
    save(np.ones((20, 20), bool))
    save(noise(20, 20), "images.npy")
    cfl.write(tmp_path / "scan", noise(20, 20))
    for series in (*opened, images):
        for read in (series.read, series.source.reference):
            with pytest.raises(FileError, match="was changed since it was opened; open it again"):
                read(0)


def test_slices_of_other_phase_encodes_are_refused(save, tmp_path, noise):
    values = noise(3, 2, 32, 40)
    for index in range(3):
        values[index, :, :, index::4] = 0
    with pytest.raises(FileError, match=r"slice 1 \(counted from 0\) was sampled at other phase encodes than slice 0"):
        recon.open_study(save(values))


def test_values_below_zero_are_said(save, only):
    series = only(recon.open_study(save(np.random.default_rng(0).standard_normal((2, 20, 24)))))
    assert float(series.source.image(0).min()) == 0
    assert any("below 0 are taken as 0" in note for note in series.notes)


def test_of_a_folder_of_bart_only_kspace_opens(tmp_path, kspace, noise):
    images = ifft2c(torch.from_numpy(kspace[0])).numpy()
    arrays = {
        "kspace": kspace[0],
        "images": images,
        "maps": images / np.sqrt((np.abs(images) ** 2).sum(0)),
        "pattern": (np.random.default_rng(0).random((1, 128, 128)) < 0.3).astype(np.complex64),
        "trajectory": noise(40, 3, 128).real.astype(np.complex64),
    }
    for name, values in arrays.items():
        cfl.write(tmp_path / name, values.transpose(1, 2, 0)[:, :, None])
    (tmp_path / "alone.cfl").write_bytes(bytes(80))
    study = recon.open_study(tmp_path)
    assert [series.stem for series in study.series] == ["kspace"]
    assert "without its header alone.hdr; bring it beside" in study.declined[0].reason
    assert recon.open_study(tmp_path / "maps").series[0].n_coils == 2


def test_masks_and_noise_beside_a_scan_do_not_open_with_its_folder(save, tmp_path, kspace, noise):
    save(np.ones((1, 128)), "mask.npy")
    save(noise(2, 500), "noise.npy")
    save(np.ones((3, 64, 64)), "images.npy")
    with pytest.raises(FileError, match=r"images.npy is an array that may be a mask, maps or images; open it by"):
        recon.open_study(tmp_path)
    save(kspace, "scan.npy")
    cfl.write(tmp_path / "bart", kspace[0].transpose(1, 2, 0)[:, :, None])
    study = recon.open_study(tmp_path)
    assert [series.name for series in study.series] == ["bart.cfl", "scan.npy"] and not study.declined


# ---- BART -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SCAN.NPY", "scan"])
def test_numpys_kspace_opens_with_its_folder_whatever_its_name(save, tmp_path, only, kspace, name):
    save(kspace).rename(tmp_path / name)
    assert only(recon.open_study(tmp_path)).kind == "numpy"


def test_a_slice_of_bart_by_any_of_its_names(tmp_path, only, kspace):
    cfl.write(tmp_path / "scan", kspace[0].transpose(1, 2, 0)[:, :, None])
    for name in ("scan", "scan.cfl", "scan.hdr"):
        series = only(recon.open_study(tmp_path / name))
        assert (series.kind, series.n_slices, series.n_coils, series.stem) == ("bart", 1, 2, "scan")
        assert np.array_equal(series.read(0).kspace, kspace[0])
    cfl.write(tmp_path / "scan", kspace[0].transpose(1, 2, 0)[None])
    assert np.array_equal(only(recon.open_study(tmp_path / "scan")).read(0).kspace, kspace[0])


def test_slices_of_bart(tmp_path, only, noise):
    values = noise(4, 3, 20, 18)
    shape = (20, 18, 1, 3, *(1,) * 9, 4)
    cfl.write(tmp_path / "scan", values.transpose(2, 3, 1, 0).reshape(shape))
    series = only(recon.open_study(tmp_path / "scan"))
    assert series.n_slices == 4 and "SLICE" in " ".join(series.notes)
    assert all(np.array_equal(series.read(index).kspace, values[index]) for index in range(4))


@pytest.mark.parametrize("shape", [(16, 20, 18), (15, 21, 17)])
def test_a_3d_scan_of_bart_is_cut_along_its_readout(tmp_path, only, noise, shape):
    values = noise(*shape, 2)
    values[:, 1::2, 1::2] = 0
    cfl.write(tmp_path / "scan", values)
    series = only(recon.open_study(tmp_path / "scan"))
    assert (series.n_slices, series.n_coils, series.matrix) == (shape[0], 2, shape[1:])
    assert series.acquired_mask is not None and series.acquired_mask.shape == shape[1:]
    assert np.array_equal(series.acquired_mask, values[0, :, :, 0] != 0)
    whole = np.fft.fftshift(np.fft.ifft(np.fft.ifftshift(values, axes=0), axis=0, norm="ortho"), axes=0)
    for index in (0, shape[0] // 2, shape[0] - 1):
        assert np.allclose(series.read(index).kspace, whole[index].transpose(2, 0, 1), atol=1e-5)


def test_what_is_no_kspace_of_slices_and_coils(tmp_path, noise):
    cfl.write(tmp_path / "maps", noise(20, 20, 1, 4, 2))
    with pytest.raises(FileError, match=r"maps.cfl: has MAPS \(2\) besides coils and slices;.*bart slice"):
        recon.open_study(tmp_path / "maps")
    cfl.write(tmp_path / "line", noise(20))
    with pytest.raises(FileError, match="has dimensions 20 1 1"):
        recon.open_study(tmp_path / "line")
    cfl.write(tmp_path / "both", noise(8, 8, 8).reshape(8, 8, 2, *(1,) * 10, 4))
    with pytest.raises(FileError, match=r"both PHS2 \(2\) and SLICE \(4\)"):
        recon.open_study(tmp_path / "both")


def test_half_a_pair(tmp_path, kspace):
    cfl.write(tmp_path / "scan", kspace[0].transpose(1, 2, 0)[:, :, None])
    data = (tmp_path / "scan.cfl").read_bytes()
    (tmp_path / "scan.cfl").write_bytes(data[:-8])
    with pytest.raises(FileError, match="cut off"):
        recon.open_study(tmp_path / "scan")
    (tmp_path / "scan.cfl").unlink()
    with pytest.raises(FileError, match=r"scan.cfl: is not there; bring it back"):
        recon.open_study(tmp_path / "scan.hdr")
    (tmp_path / "scan.cfl").write_bytes(data)
    (tmp_path / "scan.hdr").unlink()
    with pytest.raises(FileError, match=r"without its header scan.hdr; bring it beside"):
        recon.open_study(tmp_path / "scan.cfl")


@needs_bart
def test_what_bart_writes_gives_the_image_that_bart_makes(tmp_path, only):
    for command in ("phantom -x 64 -s 4 -k k", "fft -i -u 3 k coils", "rss 8 coils image"):
        subprocess.run(["bart", *command.split()], cwd=tmp_path, check=True, capture_output=True)
    series = only(recon.open_study(tmp_path / "k"))
    image = ifft2c(series.read(0).kspace).abs().square().sum(0).sqrt()
    assert torch.allclose(image, torch.from_numpy(np.abs(cfl.read(tmp_path / "image"))), atol=1e-5 * float(image.max()))
    assert torch.allclose(series.read(0).reference, image, atol=1e-6 * float(image.max()))
