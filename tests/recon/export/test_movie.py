"""Movies: a frame for each step, one grey window, and nothing half-written."""

from __future__ import annotations

import errno
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from recon import metrics
from recon.errors import ExportError, MissingPackageError, RequestError
from recon.export import figure, movie
from recon.export.screen import Screen
from recon.simulate import SimulationSpec

# A grey of the palette is at most half a step from the one it stands for, and both are rounded.
TOLERANCE = 1.8
# The colours of errors are fewer, and change faster along their scale.
ERROR_TOLERANCE = 9
GROUND = 20


def played(path):
    """Frames as RGB and how long each is seen, in milliseconds."""
    with Image.open(path) as file:
        frames = []
        for number in range(file.n_frames):
            file.seek(number)
            frames.append((np.asarray(file.convert("RGB")).astype(int), file.info["duration"]))
    return [frame for frame, _ in frames], [duration for _, duration in frames]


def panels(result, kind, frame):
    """Cut the images out of a frame."""
    film = movie._slices(result) if kind == "slices" else movie._iterations(result, None)
    screen = movie._screen(result, film)
    height, width = screen.panel_size
    return [frame[top : top + height, left : left + width] for top, left in screen.panel_places]


def enlarged(image, panel):
    factor = panel.shape[0] // image.shape[0]
    assert panel.shape[:2] == (factor * image.shape[0], factor * image.shape[1])
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def assert_is_grey(panel, image, white):
    expected = 255 * np.clip(enlarged(image, panel) / white, 0, 1)
    assert np.abs(panel - expected[..., None]).max() <= TOLERANCE


def one_slice(result, **changes):
    """The same with its second slice alone."""
    kept = slice(1, 2)
    volumes = {name: getattr(result, name)[kept] for name in ("final", "zero_filled", "reference")}
    stages = {title: volume[kept] for title, volume in result.stages.items()}
    return replace(result, indices=(1,), stages=stages, **volumes | changes)


def test_every_step_is_a_frame_under_one_grey_window(result, tmp_path) -> None:
    frames, durations = played(movie.write(result, tmp_path / "a.gif", "iterations"))
    steps = [result.zero_filled, *result.stages.values(), result.final]
    assert durations == [250] * (len(steps) - 1) + [2000]
    white = float(np.percentile(result.reference[1], 99.5))
    largest = float(result.reference.max()) / 5
    for frame, volume in zip(frames, steps, strict=True):
        assert frame.shape[0] % 2 == frame.shape[1] % 2 == 0
        image, reference, error = panels(result, "iterations", frame)
        assert_is_grey(image, volume[1], white)
        assert_is_grey(reference, result.reference[1], white)
        share = np.clip(np.abs(volume[1] - result.reference[1]) / largest, 0, 1)
        expected = 255 * colormaps["inferno"](enlarged(share, error))[..., :3]
        assert np.abs(error - expected).max() <= ERROR_TOLERANCE
    with Image.open(tmp_path / "a.gif") as file:
        assert file.info["loop"] == 0
        assert b"brain.pcrnn-s" in file.info["comment"] and b"Research use only" in file.info["comment"]


def test_slices_turn_in_order_under_one_grey_window(result, tmp_path) -> None:
    backwards = replace(
        result,
        indices=(1, 0),
        **{name: getattr(result, name)[::-1] for name in ("final", "zero_filled", "reference")},
        stages={title: volume[::-1] for title, volume in result.stages.items()},
    )
    white = float(np.percentile(result.reference, 99.5))
    for made in (result, backwards):
        frames, durations = played(movie.write(made, tmp_path / "a.gif", "slices"))
        assert durations == [120, 120]
        for place, frame in enumerate(frames):
            image, reference, _ = panels(made, "slices", frame)
            assert_is_grey(image, result.final[place], white)
            assert_is_grey(reference, result.reference[place], white)
    assert [shot.title for shot in movie._slices(backwards).shots] == ["Slice 1", "Slice 2"]


def test_chosen_slice_is_shown(result, tmp_path) -> None:
    frames, _ = played(movie.write(result, tmp_path / "a.gif", slice_index=0))
    image, *_ = panels(result, "iterations", frames[-1])
    assert_is_grey(image, result.final[0], float(np.percentile(result.reference[0], 99.5)))
    with pytest.raises(RequestError, match="slice 7 was not reconstructed"):
        movie.write(result, tmp_path / "a.gif", slice_index=7)


def test_picture_is_turned_as_in_the_figure(result, tmp_path) -> None:
    geometry = replace(result.series.geometry, flip_rows=True)
    flipped = replace(result, series=replace(result.series, geometry=geometry))
    for kind in ("iterations", "slices"):
        (upright, *_), _ = played(movie.write(result, tmp_path / "a.gif", kind))
        (turned, *_), _ = played(movie.write(flipped, tmp_path / "b.gif", kind))
        for one, other in zip(panels(result, kind, upright), panels(flipped, kind, turned), strict=True):
            np.testing.assert_array_equal(one[::-1], other)
    in_figure = figure._draw(flipped, 1).axes[0].images[0].get_array()
    np.testing.assert_array_equal(in_figure, result.zero_filled[1][::-1])
    assert_is_grey(panels(flipped, "iterations", played(movie.write(flipped, tmp_path / "c.gif"))[0][0])[0],
                   np.asarray(in_figure), float(np.percentile(result.reference[1], 99.5)))  # fmt: skip


def test_without_a_reference_the_image_stands_alone(result, tmp_path) -> None:
    alone = replace(result, reference=None)
    frames, _ = played(movie.write(alone, tmp_path / "a.gif", "iterations"))
    (image,) = panels(alone, "iterations", frames[2])
    assert_is_grey(image, result.stages["4x · 2"][1], float(np.percentile(result.final[1], 99.5)))
    film = movie._iterations(alone, None)
    assert [panel.note for panel in movie._panels(film.shots[0], film.view, 0.0)] == [""]
    assert "No reference exists." in movie._caption(alone, film)[1].text


def test_words_of_a_frame(result) -> None:
    film = movie._iterations(result, None)
    peak = float(result.reference.max())
    said = [[(panel.title, panel.note) for panel in movie._panels(shot, film.view, peak)] for shot in film.shots]
    titles = ["Zero-filled", "4x · 1", "4x · 2", "2x · 1", "2x · 2", "Refine", "Final"]
    assert [words[0][0] for words in said] == titles
    assert [words[1][0] for words in said] == ["Reference"] * 7
    assert said[0][2] == ("|Error| ×5", "full scale: max / 5")
    psnr = metrics.psnr(result.reference[1:], result.stages["4x · 2"][1:], peak)
    assert said[2][0][1] == f"PSNR {psnr:.2f} dB"
    empty = replace(result, reference=result.reference * 0)
    film = movie._iterations(empty, None)
    assert movie._panels(film.shots[0], film.view, 0.0)[0].note == "no score"


@pytest.mark.parametrize(("kind", "slices"), [("iterations", "slice 2 of 2"), ("slices", "slices 1 to 2")])
def test_caption(result, kind, slices) -> None:
    def caption(**changes):
        made = replace(result, series=replace(result.series, **changes))
        film = movie._slices(made) if kind == "slices" else movie._iterations(made, None)
        return movie._caption(made, film)

    lines = caption()
    for word in ("PC-RNN", "Equispaced, exact share 4×", "effective R = ", slices, "brain.h5"):
        assert word in lines[0].text
    assert "99.5th percentile of the reference" in lines[1].text
    assert lines[-1].text == "Research use only. Not for diagnosis."
    assert not any("imulated" in line.text for line in lines)
    (said,) = [line for line in caption(simulation=SimulationSpec()) if "Simulated k-space" in line.text]
    assert said.role == "warning"
    assert "the scanner's own sampling" in caption(acquired_mask=result.mask.mask)[0].text


def test_slices_with_gaps_are_counted(result) -> None:
    some = replace(result, series=replace(result.series, n_slices=9), indices=(2, 7))
    assert movie._slices(some).slices == "2 slices from 3 to 8"


@pytest.mark.parametrize("has_reference", [True, False])
@pytest.mark.parametrize(
    ("shape", "spacing"),
    [((48, 40), (1, 1)), ((47, 39), (1, 1)), ((300, 20), (1, 1)), ((8, 200), (1, 1)), ((20, 40), (3, 1)),
     ((40, 20), (1, 1.7)), ((700, 333), (1, 1)), ((4, 4), (1, 1))],
)  # fmt: skip
def test_shape_and_spacing_are_kept_and_nothing_is_clipped(result, tmp_path, shape, spacing, has_reference) -> None:
    rng = np.random.default_rng(1)
    final, zero_filled, between, reference = (rng.random((1, *shape), np.float32) for _ in range(4))
    geometry = replace(result.series.geometry, pixel_spacing_mm=spacing)
    path = Path("a" * 120 + " Ünïcode 患者 $x_1$ name.h5")
    other = replace(
        result, series=replace(result.series, geometry=geometry, path=path, simulation=SimulationSpec()), indices=(1,),
        stages={"a module of a very long name, number 12 · 3": between}, stage_paths=(("a", 3),), final=final,
        zero_filled=zero_filled, reference=reference if has_reference else None,
    )  # fmt: skip
    frames, _ = played(movie.write(other, tmp_path / "a.gif"))
    assert len(frames) == 3
    screen = movie._screen(other, movie._iterations(other, None))
    height, width = screen.panel_size
    assert height / width == pytest.approx(shape[0] * spacing[0] / (shape[1] * spacing[1]), rel=0.1)
    assert max(height, width) <= (480 if has_reference else 640)
    for frame in frames:
        assert frame.shape[0] % 2 == frame.shape[1] % 2 == 0
        edge = np.concatenate([frame[:10].reshape(-1, 3), frame[-10:].reshape(-1, 3), frame[:, :14].reshape(-1, 3),
                               frame[:, -14:].reshape(-1, 3)])  # fmt: skip
        assert np.abs(edge - GROUND).max() <= 1
        for (top, left), panel in zip(screen.panel_places, panels(other, "iterations", frame), strict=True):
            assert panel.shape[:2] == (height, width)
            assert np.abs(frame[top - 1, left : left + width] - GROUND).max() <= 1  # words end above the image


def test_too_many_steps_are_thinned_evenly(result) -> None:
    n_steps = 500
    volumes = {f"iterate · {n}": result.zero_filled * (0.9 - n / 1000) for n in range(1, n_steps)}
    long = replace(result, stages=volumes, stage_paths=tuple(("iterate", n) for n in range(1, n_steps)))
    titles = [shot.title for shot in movie._iterations(long, None).shots]
    assert len(titles) == movie.MAX_FRAMES
    assert titles[0] == "Zero-filled" and titles[-1] == "Final"
    numbers = [int(title.split(" · ")[1]) for title in titles[1:-1]]
    assert set(np.diff(numbers)) == {4, 5}


def test_the_same_result_makes_the_same_bytes(result, tmp_path) -> None:
    one, other = (movie.write(result, tmp_path / name).read_bytes() for name in ("a.gif", "b.gif"))
    assert one == other


@pytest.mark.parametrize("failing", [1, 4])
def test_nothing_is_half_written(result, tmp_path, monkeypatch, failing) -> None:
    path = tmp_path / "a.gif"
    path.write_bytes(b"former")
    original, drawn = Screen.frame, []

    def frame(self, *arguments):
        drawn.append(arguments)
        if len(drawn) == failing:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(self, *arguments)

    monkeypatch.setattr(Screen, "frame", frame)
    with pytest.raises(ExportError, match="the disk is full"):
        movie.write(result, path)
    assert [file.name for file in tmp_path.iterdir()] == ["a.gif"] and path.read_bytes() == b"former"


def test_what_cannot_be_drawn_is_said(result, tmp_path) -> None:
    for kind in ("iterations", "slices"):
        with pytest.raises(ExportError, match="NaN"):
            movie.write(replace(result, final=result.final * np.nan), tmp_path / "a.gif", kind)
    with pytest.raises(RequestError, match="no movie of its slices; there is one of its iterations"):
        movie.write(one_slice(result), tmp_path / "a.gif", "slices")
    assert not list(tmp_path.iterdir())


def test_what_moves(result) -> None:
    still = {"stages": {}, "stage_paths": ()}
    single = one_slice(result)
    assert movie.kinds(result) == ("iterations", "slices")
    assert movie.kinds(single) == ("iterations",)
    assert movie.kinds(replace(result, **still)) == ("slices",)
    assert movie.kinds(replace(single, **still)) == ()
    alike = replace(single, stages={"final": single.final}, zero_filled=single.final)
    assert movie.kinds(alike) == ()


def test_movies_are_saved_beside_the_others(result, tmp_path) -> None:
    files = result.save(tmp_path, ["movie", "nifti"])
    names = ["brain.pcrnn-s.nii.gz", "brain.pcrnn-s.iterations.gif", "brain.pcrnn-s.slices.gif", "brain.pcrnn-s.json"]
    assert [file.name for file in files] == names
    assert json.loads(files[-1].read_text())["files"] == names[:-1]
    files[0].unlink()
    files[-1].unlink()
    assert result.free_name(tmp_path) == "brain.pcrnn-s-2"


def test_where_nothing_moves_the_other_formats_are_written(result, tmp_path) -> None:
    still = one_slice(result, stage_paths=())
    still = replace(still, stages={})
    with pytest.raises(RequestError, match=r"nothing moves in a single image.* more slices.*--stages"):
        still.save(tmp_path, ["movie", "nifti"])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["brain.pcrnn-s.json", "brain.pcrnn-s.nii.gz"]


@pytest.mark.parametrize(("part", "package"), [("PIL", "pillow"), ("matplotlib", "matplotlib")])
def test_without_a_package_it_is_said_what_to_install(result, tmp_path, monkeypatch, part, package) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == part]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, part, None)
    with pytest.raises(MissingPackageError, match=f"pip install {package}"):
        movie.write(result, tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())
