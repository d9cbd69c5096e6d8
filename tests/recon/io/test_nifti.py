"""NIfTI volumes: every voxel stays where it lies in the patient, slices are read one by one, bad files are named."""

import gzip
import itertools
import os

import nibabel
import numpy as np
import pytest

import recon
from recon.errors import FileError
from recon.io import nifti
from recon.io.images import read_images
from recon.simulate import SimulationSpec

SHAPE = (18, 23, 5)
# The third axis leads up, to the right or forwards; each of the other two along either of what remains.
AXES = [
    (order, signs) for order in itertools.permutations(range(3)) for signs in itertools.product((-1.0, 1.0), repeat=3)
]


@pytest.fixture
def voxels():
    """Give a volume of which each voxel has a value of its own."""
    return np.random.default_rng(3).permutation(np.prod(SHAPE)).reshape(SHAPE).astype(np.int16) + 1


@pytest.fixture
def save(tmp_path):
    def _save(values, affine=None, name="head.nii.gz", change=None):
        image = nibabel.Nifti1Image(values, np.diag([1.0, 1.0, 1.0, 1.0]) if affine is None else affine)
        if change is not None:
            change(image.header)
        nibabel.save(image, tmp_path / name)
        return tmp_path / name

    return _save


def affine_of(order, signs, sizes=(0.9, 1.1, 3.0), oblique=0.0):
    """Affine whose axes lead along the patient's, turned by an angle."""
    cosine, sine = np.cos(oblique), np.sin(oblique)
    turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]) @ [
        [1, 0, 0],
        [0, cosine, -sine],
        [0, sine, cosine],
    ]
    matrix = np.eye(4)
    matrix[:3, :3] = (turn @ np.eye(3)[:, list(order)]) * (np.array(signs) * sizes)
    matrix[:3, 3] = (12.5, -31.0, 7.0)
    return matrix


@pytest.mark.parametrize("oblique", [0.0, 0.3])
@pytest.mark.parametrize(("order", "signs"), AXES)
def test_every_voxel_lies_where_the_affine_says(save, only, voxels, order, signs, oblique):
    affine = affine_of(order, signs, oblique=oblique)
    series = only(recon.open_study(save(voxels, affine)))
    geometry = series.geometry
    assert not (geometry.is_synthetic or geometry.spacing_is_assumed or geometry.flip_rows)
    row, column = np.array(geometry.orientation[:3]), np.array(geometry.orientation[3:])
    normal = np.cross(row, column)
    assert np.all(np.diff(np.array(geometry.positions_mm) @ normal) > 0)
    where = {int(voxels[place]): np.array([-1, -1, 1]) * (affine @ [*place, 1])[:3] for place in np.ndindex(SHAPE)}
    for index in range(series.n_slices):
        image = series.source.image(index)
        for y, x in ((0, 0), (2, 11), (image.shape[0] - 1, image.shape[1] - 1)):
            place = np.array(geometry.positions_mm[index])
            place = place + x * geometry.pixel_spacing_mm[1] * row + y * geometry.pixel_spacing_mm[0] * column
            assert np.allclose(place, where[int(image[y, x])], atol=1e-3)


@pytest.mark.parametrize(("order", "signs"), AXES)
def test_slices_stand_as_radiologists_look_at_them(save, only, voxels, order, signs):
    geometry = only(recon.open_study(save(voxels, affine_of(order, signs)))).geometry
    across = order[2]  # where the slices are stacked: sagittal, coronal, axial
    expected = {0: (0, 1, 0, 0, 0, -1), 1: (1, 0, 0, 0, 0, -1), 2: (1, 0, 0, 0, 1, 0)}[across]
    assert np.allclose(geometry.orientation, expected, atol=1e-6)


def test_a_result_lies_over_the_volume_that_it_came_from(save, voxels, tmp_path):
    affine = affine_of((1, 2, 0), (-1.0, 1.0, -1.0), oblique=0.2)
    path = save(voxels, affine)
    series = recon.open_study(path, SimulationSpec(n_coils=1, phase=0.0, noise=0.0)).series[0]
    result = recon.run(series, recon.Request(model="zero-filled", mask=recon.MaskSpec("none"), grid="native"))
    assert result.is_simulated and result.series.stem == "head"
    result.save(tmp_path / "out", formats=["nifti"])
    [out] = (tmp_path / "out").glob("*.nii.gz")
    again = nibabel.load(out)
    for place in [(0, 0, 0), (4, 17, 2), (17, 22, 4)]:
        found = np.linalg.inv(again.affine) @ affine @ [*place, 1]
        assert np.allclose(found, np.rint(found), atol=1e-3)
        i, j, k = np.rint(found[:3]).astype(int)
        assert again.get_fdata()[i, j, k] == pytest.approx(float(voxels[place]), rel=1e-3, abs=0.5)


def test_scaled_single_and_flat_volumes(save, only, voxels):
    # What is no whole number is stored as one, with a slope and an intercept.
    scaled = only(recon.open_study(save(voxels / 7.0, name="scaled.nii", change=lambda h: h.set_data_dtype(np.int16))))
    assert sorted(scaled.source.image(0).ravel()) == pytest.approx(sorted(voxels[..., 0].ravel() / 7.0), abs=0.01)
    four = only(recon.open_study(save(voxels[..., None], name="four.nii")))
    assert (four.n_slices, four.stem) == (5, "four")
    flat = only(recon.open_study(save(voxels[..., 0], name="flat.nii")))
    assert (flat.n_slices, flat.matrix) == (1, (23, 18))


def test_volumes_of_a_time_series_open_one_by_one(save, voxels, monkeypatch):
    series = [voxels + 3000 * time for time in range(11)]
    study = recon.open_study(save(np.stack(series, axis=-1), name="bold.nii.gz"))
    assert [item.title for item in study.series][8:] == [f"bold · volume {n:02d} of 11" for n in (9, 10, 11)]
    assert len({item.fingerprint for item in study.series}) == 11 and not study.declined
    for time in (0, 10):
        found = sorted(study.series[time].source.image(4).ravel())
        assert np.array_equal(found, sorted(series[time][..., 4].ravel()))
    monkeypatch.setattr("recon.io.nifti.MAX_VOLUMES", 3)
    study = recon.open_study(save(np.stack(series, axis=-1), name="bold.nii.gz"))
    assert len(study.series) == 3 and "has 11 volumes, of which the first 3 are opened" in study.declined[0].reason


def test_of_many_volumes_the_first_and_the_last_are_named(save, voxels):
    """Which of a folder's volumes is meant, nobody can guess."""
    path = save(np.stack([voxels] * 11, axis=-1), name="bold.nii")
    with pytest.raises(FileError, match=r"11 volumes \(bold · volume 01 of 11, …, bold · volume 11 of 11\)"):
        read_images(path.parent)
    path.unlink()
    save(np.stack([voxels] * 2, axis=-1), name="two.nii")
    with pytest.raises(FileError, match=r"2 volumes \(two · volume 1 of 2, two · volume 2 of 2\)"):
        read_images(path.parent)


def test_of_a_file_of_volumes_the_first_is_simulated(save, only, voxels):
    path = save(np.stack([voxels, voxels + 3000], axis=-1), name="bold.nii")
    first, alone = read_images(path), read_images(save(voxels, name="first.nii"))
    assert np.array_equal(first.slices, alone.slices)
    assert (first.name, alone.name) == ("bold.nii (volume 1 of 2)", "first.nii")


def test_units_are_millimetres(save, only, voxels):
    series = only(
        recon.open_study(save(voxels, np.diag([800.0, 900.0, 2000.0, 1.0]), change=lambda h: h.set_xyzt_units(3)))
    )
    assert series.geometry.pixel_spacing_mm == pytest.approx((0.9, 0.8))
    assert series.geometry.slice_thickness_mm == pytest.approx(2.0)


def test_a_volume_without_a_place_says_so(save, only, voxels, tmp_path):
    nibabel.save(nibabel.Nifti1Image(voxels, None), tmp_path / "lost.nii")
    series = only(recon.open_study(tmp_path / "lost.nii"))
    assert series.geometry.is_synthetic and not series.geometry.spacing_is_assumed
    assert any("which side is which is unknown" in note for note in series.notes)
    sheared = affine_of((0, 1, 2), (1.0, 1.0, 1.0))
    sheared[0, 1] = 0.6
    series = only(recon.open_study(save(voxels, sheared)))
    assert series.geometry.is_synthetic and any("not at right angles" in note for note in series.notes)


def test_slices_are_read_when_asked_for(save, only, voxels, monkeypatch):
    read = []
    path = save(voxels, name="head.nii")
    original = nibabel.arrayproxy.ArrayProxy.__getitem__

    def spy(self, key):
        read.append(key[2])
        return original(self, key)

    monkeypatch.setattr(nibabel.arrayproxy.ArrayProxy, "__getitem__", spy)
    monkeypatch.setattr(nibabel.arrayproxy.ArrayProxy, "__array__", lambda *_, **__: pytest.fail("the whole was read"))
    series = only(recon.open_study(path))
    assert read == [2]
    series.read(4)
    assert 4 in read and set(read) <= {2, 4}


def test_blank_slices_are_air_and_kspace_is_the_same_again(save, only, voxels):
    voxels[..., 1] = 0
    path = save(voxels)
    first, again = (only(recon.open_study(path)) for _ in range(2))
    air = first.read(1).kspace
    assert 0 < float(air.abs().max()) < float(first.read(2).kspace.abs().max())
    assert all(np.array_equal(first.read(i).kspace, again.read(i).kspace) for i in range(5))
    other = only(recon.open_study(path, SimulationSpec(n_coils=2, seed=5)))
    assert other.n_coils == 2 and other.read(0).kspace.shape == (2, 23, 18)
    assert first.fingerprint == again.fingerprint != ""


def test_what_the_file_says_of_sizes_is_not_made_up(save, only, voxels, tmp_path, caplog, capfd):
    path = save(voxels, name="a.nii")
    head = bytearray(path.read_bytes())
    head[80:92] = bytes(12)  # no size in any direction
    head[252:256] = bytes(4)  # and no place
    path.write_bytes(head)
    series = only(recon.open_study(path))
    assert series.geometry.spacing_is_assumed and any("1 mm is assumed" in note for note in series.notes)
    assert read_images(path).pixel_spacing_mm is None
    for size in (1e-30, 2e10):
        series = only(recon.open_study(save(voxels, np.diag([size, size, size, 1.0]), name="b.nii")))
        assert series.geometry.spacing_is_assumed and series.geometry.is_synthetic
    assert not caplog.text and capfd.readouterr() == ("", "")


def test_values_below_zero_are_said(save, only, voxels):
    series = only(recon.open_study(save(voxels.astype(np.float32) - 1000)))
    assert float(series.source.image(2).min()) == 0
    assert any("below 0 are taken as 0" in note for note in series.notes)


def test_a_volume_at_once_is_its_slices(save, only, voxels):
    for values in (voxels, voxels[..., 0], voxels.astype(np.float64) / 7, voxels + 1j * voxels):
        for name in ("a.nii", "a.nii.gz"):
            series = only(recon.open_study(save(values, affine_of((2, 0, 1), (1.0, -1.0, -1.0)), name=name)))
            each = np.stack([series.source.image(index) for index in range(series.n_slices)])
            assert np.array_equal(series.source.volume(), each)


def test_a_volume_of_a_compressed_file_is_unpacked_once(save, voxels, monkeypatch):
    """Slice by slice, all that lies before would be unpacked for each one; one volume is kept, of whatever file."""
    values = np.stack([voxels + 10 * number for number in range(3)], axis=3)
    packed, plain = (recon.open_study(save(values, name=name)).series for name in ("bold.nii.gz", "bold.nii"))
    whole, unpacked = nifti._volume, []
    monkeypatch.setattr(nifti, "_volume", lambda *about: unpacked.append(about) or whole(*about))
    for one, other in zip(packed, plain, strict=True):
        for index in range(one.n_slices):
            assert np.array_equal(one.source.image(index), other.source.image(index))
    assert len(unpacked) == 3
    packed[0].source.image(0)  # was given up for the last one
    assert len(unpacked) == 4
    # What is too large to be kept is read slice by slice.
    monkeypatch.setattr(nifti, "_MOST_KEPT_BYTES", voxels.size * 4 - 1)
    assert np.array_equal(packed[1].source.image(2), plain[1].source.image(2))
    assert len(unpacked) == 4


def test_cifti_is_read_by_its_nifti_header_alone(save, voxels):
    from nibabel.nifti1 import Nifti1Extension

    image = nibabel.Nifti2Image(voxels, np.eye(4))
    image.header.extensions.append(Nifti1Extension(32, b"<not xml"))
    image.header["intent_code"] = 3006
    path = save(voxels)
    nibabel.save(image, path.with_name("c.nii"))
    assert recon.open_study(path.with_name("c.nii")).series[0].n_slices == 5


def test_a_pair_of_header_and_image(tmp_path, only, voxels):
    nibabel.save(nibabel.Nifti1Pair(voxels, affine_of((0, 1, 2), (1.0, 1.0, 1.0))), tmp_path / "pair.img")
    assert only(recon.open_study(tmp_path / "pair.hdr")).n_slices == 5
    assert only(recon.open_study(tmp_path)).stem == "pair"
    (tmp_path / "pair.img").unlink()
    with pytest.raises(FileError, match=r"pair.img is not there; bring it back"):
        recon.open_study(tmp_path / "pair.hdr")


@pytest.mark.parametrize("name", ["head.nii", "head.nii.gz", "head.img"])
def test_a_file_that_was_changed_is_not_read_on(tmp_path, only, voxels, name):
    """One volume must not be made of the slices of two."""
    kind = nibabel.Nifti1Pair if name == "head.img" else nibabel.Nifti1Image
    nibabel.save(kind(voxels, np.eye(4)), tmp_path / name)
    series = only(recon.open_study(tmp_path / name.replace("img", "hdr")))
    series.read(0)
    (tmp_path / "other").mkdir()
    nibabel.save(kind(voxels[::-1], np.eye(4)), tmp_path / "other" / name)
    (tmp_path / "other" / name).replace(tmp_path / name)
    os.utime(tmp_path / name, ns=(0, 0))
    for read in (lambda: series.read(1), series.source.volume):
        with pytest.raises(FileError, match=f"{name}: was changed since it was opened; open it again"):
            read()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.ones((20, 20, 4, 1, 3), np.float32), "colours or vectors"),
        (np.zeros((20, 20, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")]), "colours or vectors"),
        (np.ones((8, 20, 4), np.float32), "at least 16 × 16"),
    ],
)
def test_what_is_no_grey_volume_is_declined(save, values, words):
    with pytest.raises(FileError, match=words):
        recon.open_study(save(values))


def test_nan_is_named_with_its_slice(save, only, voxels):
    values = voxels.astype(np.float32)
    values[3, 3, 0] = np.nan
    series = only(recon.open_study(save(values)))
    series.read(1)
    with pytest.raises(FileError, match=r"slice 0 of the file \(counted from 0\) holds NaN"):
        series.read(0)


def test_damage_is_one_sentence(save, voxels, tmp_path):
    whole = save(voxels, name="a.nii").read_bytes()
    cut = tmp_path / "cut.nii"
    cut.write_bytes(whole[:2000])
    with pytest.raises(FileError, match=r"cut.nii: announces 4,140 bytes of voxels, and cut.nii has 2,000; .*cut off"):
        recon.open_study(cut)
    packed = gzip.compress(whole)
    squeezed = tmp_path / "cut.nii.gz"
    squeezed.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(FileError, match="is a damaged NIfTI file"):
        recon.open_study(squeezed)
    second = tmp_path / "second.nii"
    nibabel.save(nibabel.Nifti2Image(voxels, np.eye(4)), second)
    content = bytearray(second.read_bytes())
    second.write_bytes(content[:300])  # the header alone is longer
    with pytest.raises(FileError, match="is a damaged NIfTI file"):
        recon.open_study(second)
    content[400:408] = np.float64(1e200).tobytes()  # of the affine, too large to be squared
    second.write_bytes(content)
    assert recon.open_study(second).series[0].geometry.spacing_is_assumed
    rng = np.random.default_rng(0)
    n_opened = 0
    for name, content in (("x.nii", whole), ("x.nii.gz", packed)):
        for _ in range(150):
            damaged = bytearray(content)
            for place in rng.integers(0, 400 if name == "x.nii" else len(content), 3):
                damaged[place] = rng.integers(256)
            (tmp_path / name).write_bytes(damaged)
            try:
                series = recon.open_study(tmp_path / name).series[0]
                series.read(series.n_slices - 1)
                n_opened += 1
            except FileError as error:
                assert str(tmp_path / name) in str(error)
    assert 20 < n_opened < 280


def test_another_name_or_other_content(save, voxels, tmp_path):
    path = save(voxels)
    path.rename(tmp_path / "head.vol")
    with pytest.raises(FileError, match=r"is a compressed NIfTI image; give its name the ending .nii.gz"):
        recon.open_study(tmp_path / "head.vol")
    (tmp_path / "head.vol").rename(tmp_path / "packed.nii")
    (tmp_path / "text.nii").write_text("no image")
    save(voxels, name="good.nii")
    study = recon.open_study(tmp_path)
    assert [series.stem for series in study.series] == ["good"]
    packed, declined = study.declined
    assert packed.path.name == "packed.nii" and "compressed" in packed.reason
    assert declined.path.name == "text.nii" and "though its name says NIfTI" in declined.reason
