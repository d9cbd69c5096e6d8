"""BART's files: what is written is read, and BART agrees; what is broken is named."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest

import recon
from recon.errors import FileError
from recon.io import cfl


@pytest.mark.parametrize("shape", [(1,), (3,), (4, 5), (1, 6, 7, 3), (2, 1, 1, 2)])
@pytest.mark.parametrize("suffix", ["", ".cfl", ".hdr"])
def test_round_trip(tmp_path, shape, suffix):
    rng = np.random.default_rng(0)
    values = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)
    cfl.write(tmp_path / f"scan.v2{suffix}", values)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scan.v2.cfl", "scan.v2.hdr"]
    found = cfl.read(tmp_path / f"scan.v2{suffix}")
    np.testing.assert_array_equal(found, values)
    assert found.dtype == np.complex64
    assert found.shape == shape
    assert cfl.read_shape(tmp_path / "scan.v2") == shape
    # What is done to the values does not reach the file.
    found[...] = 0
    np.testing.assert_array_equal(cfl.read(tmp_path / "scan.v2"), values)


@pytest.mark.parametrize("endings", [(".CFL", ".HDR"), (".CFL", ".hdr"), (".cfl", ".HDR")])
def test_endings_of_capital_letters(tmp_path, endings):
    kspace = np.random.default_rng(0).standard_normal((24, 20, 1, 2)) * (1 + 1j)
    cfl.write(tmp_path / "scan", kspace)
    for written, ending in zip((".cfl", ".hdr"), endings, strict=True):
        (tmp_path / f"scan{written}").rename(tmp_path / f"scan{ending}")
    for name in ("scan", *(f"scan{ending}" for ending in endings)):
        (series,) = recon.open_study(tmp_path / name).series
        assert (series.kind, series.stem, series.n_coils, series.matrix) == ("bart", "scan", 2, (24, 20))
        np.testing.assert_allclose(series.read(0).kspace.numpy(), kspace[:, :, 0].transpose(2, 0, 1), rtol=1e-6)
    (tmp_path / f"scan{endings[1]}").unlink()
    with pytest.raises(FileError, match=r"without its header scan\.hdr"):
        recon.open_study(tmp_path / f"scan{endings[0]}")


def test_the_first_dimension_is_the_fastest(tmp_path):
    cfl.write(tmp_path / "a", np.array([[1, 2, 3], [4, 5, 6]]))
    np.testing.assert_array_equal(np.fromfile(tmp_path / "a.cfl", np.complex64), [1, 4, 2, 5, 3, 6])
    words = (tmp_path / "a.hdr").read_text().splitlines()[1].split()
    assert words == ["2", "3", *["1"] * 14]


@pytest.mark.skipif(shutil.which("bart") is None, reason="BART is not installed")
def test_bart_reads_and_writes_the_same(tmp_path):
    values = np.arange(24).reshape(2, 3, 4) * (1 + 2j)
    cfl.write(tmp_path / "a", values)
    subprocess.run(["bart", "transpose", "0", "2", "a", "b"], cwd=tmp_path, check=True, capture_output=True)
    np.testing.assert_array_equal(cfl.read(tmp_path / "b"), values.transpose(2, 1, 0))


@pytest.mark.parametrize(
    "header", ["", "# Dimensions\n", "# Dimensions\n2 x\n", "# Dimensions\n2 0\n", "\0\1\2", "2 2\n"]
)
def test_a_header_that_is_none(tmp_path, header):
    cfl.write(tmp_path / "a", np.ones((2, 2)))
    (tmp_path / "a.hdr").write_text(header)
    with pytest.raises(FileError, match="no header of a cfl file"):
        cfl.read(tmp_path / "a")


def test_lines_before_and_after_the_dimensions_are_skipped(tmp_path):
    cfl.write(tmp_path / "a", np.ones((2, 2)))
    (tmp_path / "a.hdr").write_text("# Creator\nsomebody\n# Dimensions\n2 2 1 1\n# Command\nbart ones 2 2 2 a\n")
    assert cfl.read(tmp_path / "a").shape == (2, 2)


@pytest.mark.parametrize("n_bytes", [0, 31, 40])
def test_values_that_do_not_fit_their_header(tmp_path, n_bytes):
    cfl.write(tmp_path / "a", np.ones((2, 2)))
    (tmp_path / "a.cfl").write_bytes(bytes(n_bytes))
    with pytest.raises(FileError, match=rf"holds {n_bytes} bytes, its header a.hdr announces 32 \(2 × 2"):
        cfl.read(tmp_path / "a")


@pytest.mark.parametrize("suffix", [".cfl", ".hdr"])
def test_half_of_a_pair(tmp_path, suffix):
    cfl.write(tmp_path / "a", np.ones((2, 2)))
    (tmp_path / f"a{suffix}").unlink()
    with pytest.raises(FileError, match=rf"a\{suffix}: cannot be read"):
        cfl.read(tmp_path / "a")


def test_what_no_file_can_hold(tmp_path):
    for values in (np.ones((1,) * 17), np.ones((2, 0))):
        with pytest.raises(ValueError, match="does not fit into a cfl file"):
            cfl.write(tmp_path / "a", values)
