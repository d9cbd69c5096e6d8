"""The figure: right panels, one grey window, one error scale, nothing clipped."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from recon import metrics
from recon.errors import ExportError, MissingPackageError, RequestError
from recon.export import box_plot, figure
from recon.simulate import SimulationSpec


def drawn(result, position=0):
    canvas = figure._draw(result, position)
    canvas.canvas.draw()
    return canvas


def texts(result, position=0):
    return [text.get_text() for text in drawn(result, position).texts]


def images(canvas):
    return [axes.images[0] for axes in canvas.axes if axes.images]


def assert_nothing_is_clipped_or_overlaps(canvas):
    renderer = canvas.canvas.get_renderer()
    page = canvas.bbox
    boxes = [text.get_window_extent(renderer) for text in canvas.texts if text.get_text()]
    for axes in [axes for axes in canvas.axes if axes.axison]:
        boxes += [label.get_window_extent(renderer) for label in axes.get_yticklabels() if label.get_text()]
    for box in boxes:
        assert box.x0 >= page.x0 and box.y0 >= page.y0 and box.x1 <= page.x1 and box.y1 <= page.y1
    for number, box in enumerate(boxes):
        for other in boxes[number + 1 :]:
            width = min(box.x1, other.x1) - max(box.x0, other.x0)
            height = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert width <= 1 or height <= 1, (box, other)


def test_panels_scores_and_caption(result) -> None:
    said = texts(result)
    assert [one for one in said if one in ("Zero-filled", "4x", "2x", "Refine", "Final", "Reference")] == [
        "Zero-filled", "4x", "2x", "Refine", "Final", "Reference",
    ]  # fmt: skip
    peak = float(result.reference.max())
    for volume in (result.zero_filled, result.final, *result.module_outputs().values()):
        assert f"PSNR {metrics.psnr(result.reference[:1], volume[:1], peak):.2f} dB" in said
    caption = " ".join(said)
    for word in ("PC-RNN", "Equispaced, exact share 4×", "slice 1 of 2", "brain.h5", "Research use only"):
        assert word in caption
    assert "imulated" not in caption
    assert "slice 2 of 2" in " ".join(texts(result, 1))
    one_of_two = replace(result, series=replace(result.series, part="contrast 2"))
    assert "brain.h5 · contrast 2" in " ".join(texts(one_of_two))


def test_one_grey_window_and_one_error_scale(result) -> None:
    canvas = drawn(result)
    grey = [image for image in images(canvas) if image.get_cmap().name == "gray"]
    errors = [image for image in images(canvas) if image.get_cmap().name == "inferno"]
    assert len(grey) == 6 and len(errors) == 5
    white = float(np.percentile(result.reference[0], 99.5))
    assert {image.get_clim() for image in grey} == {(0, white)}
    assert {image.get_clim() for image in errors} == {(0, float(result.reference.max()) / 5)}
    np.testing.assert_allclose(errors[0].get_array(), np.abs(result.zero_filled[0] - result.reference[0]))


def test_without_reference_there_are_no_errors_and_no_scores(result) -> None:
    canvas = drawn(replace(result, reference=None))
    assert {image.get_cmap().name for image in images(canvas)} == {"gray"}
    said = " ".join(text.get_text() for text in canvas.texts)
    assert "No reference exists" in said and "PSNR" not in said


@pytest.mark.parametrize("n_modules", [0, 1, 2, 5, 8, 12])
@pytest.mark.parametrize("has_reference", [True, False])
def test_any_number_of_panels_fits_the_page(result, n_modules, has_reference) -> None:
    volumes = {f"module number {n}": result.zero_filled * (1 + n / 20) for n in range(n_modules)}
    path = Path("a" * 120 + " Ünïcode 患者 $x_1$ name.h5")
    crowded = replace(
        result,
        series=replace(result.series, simulation=SimulationSpec(), path=path),
        stages=volumes,
        stage_paths=tuple((title,) for title in volumes),
        reference=result.reference if has_reference else None,
    )
    canvas = drawn(crowded)
    assert_nothing_is_clipped_or_overlaps(canvas)
    said = "".join(text.get_text() for text in canvas.texts)
    assert "Simulated k-space" in said and "$x_1$" in said
    assert len([image for image in images(canvas) if image.get_cmap().name == "gray"]) == n_modules + 2 + has_reference


@pytest.mark.parametrize(
    ("shape", "spacing"), [((48, 40), (1, 1)), ((300, 20), (1, 1)), ((8, 200), (1, 1)), ((4, 4), (3, 1))]
)
def test_shape_and_spacing_of_the_pixels_are_kept(result, shape, spacing) -> None:
    rng = np.random.default_rng(1)
    volumes = [rng.random((1, *shape), np.float32) for _ in range(3)]
    geometry = replace(result.series.geometry, pixel_spacing_mm=spacing)
    other = replace(
        result, series=replace(result.series, geometry=geometry), indices=(1,), stages={}, stage_paths=(),
        final=volumes[0], zero_filled=volumes[1], reference=volumes[2],
    )  # fmt: skip
    canvas = drawn(other)
    assert_nothing_is_clipped_or_overlaps(canvas)
    box = images(canvas)[0].get_window_extent()
    assert box.height / box.width == pytest.approx(shape[0] * spacing[0] / (shape[1] * spacing[1]), rel=0.05)


def test_picture_is_turned_the_way_it_is_looked_at(result) -> None:
    geometry = replace(result.series.geometry, flip_rows=True)
    flipped = replace(result, series=replace(result.series, geometry=geometry))
    first, second = images(drawn(result))[0], images(drawn(flipped))[0]
    np.testing.assert_array_equal(np.asarray(first.get_array())[::-1], second.get_array())


def test_same_image_is_not_shown_twice(result) -> None:
    nothing_done = replace(result, final=result.zero_filled, stages={}, stage_paths=())
    assert [one for one in texts(nothing_done) if one in ("Zero-filled", "Final", "Reference")] == [
        "Zero-filled", "Reference",
    ]  # fmt: skip
    last = replace(result, final=result.stages["refine"])
    assert "Refine" not in texts(last) and "Final" in texts(last)


def test_scanners_own_sampling_is_said(result) -> None:
    series = replace(result.series, acquired_mask=result.mask.mask)
    assert "the scanner's own sampling" in " ".join(texts(replace(result, series=series)))


def test_empty_images_are_drawn(result) -> None:
    nothing = np.zeros_like(result.final)
    canvas = drawn(replace(result, final=nothing, zero_filled=nothing, reference=nothing, stages={}, stage_paths=()))
    assert any("no score" in text.get_text() for text in canvas.texts)


def test_file_is_a_picture_of_the_chosen_slice(result, tmp_path) -> None:
    paths = [figure.write(result, tmp_path / f"{n}.png", slice_index) for n, slice_index in enumerate((None, 0, 1))]
    middle, first, second = (imread(path) for path in paths)
    assert middle.shape[0] > 500 and middle.shape[1] > 1500
    np.testing.assert_array_equal(middle, second)
    assert not np.array_equal(first, second)


def test_it_is_saved_of_the_slice_that_was_asked_for_or_of_the_middle(result, tmp_path) -> None:
    chosen = figure.write(result, tmp_path / "first.png", 0).read_bytes()
    middle = figure.write(result, tmp_path / "middle.png").read_bytes()
    saved = [result.save(tmp_path / str(index), ["png"], slice_index=index)[0] for index in (0, None, 7)]
    assert [file.read_bytes() for file in saved] == [chosen, middle, middle]
    # Pictures of several slices stand side by side.
    assert [file.name for file in saved] == [f"{result.name}{of}.png" for of in (".slice1", "", "")]
    files = result.save(tmp_path / "0", ["png"], slice_index=1)
    assert files[0] != saved[0] and saved[0].read_bytes() == chosen


def test_what_cannot_be_drawn_is_said(result, tmp_path) -> None:
    path = tmp_path / "a.png"
    with pytest.raises(RequestError, match="slice 7 was not reconstructed; choose one of 0, 1"):
        figure.write(result, path, 7)
    with pytest.raises(ExportError, match="NaN"):
        figure.write(replace(result, final=result.final * np.nan), path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ExportError):
        figure.write(result, tmp_path / "file" / "a.png")
    assert not path.exists()


def test_pyplot_stays_out() -> None:
    """Pyplot would choose a backend for the whole process, the window's among them."""
    found = "'matplotlib' in sys.modules, 'matplotlib.pyplot' in sys.modules"
    script = f"import sys, recon.export.figure, recon.export.movie; print({found})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
    assert "pyplot" not in Path(figure.__file__).read_text().replace("no pyplot", "")


@pytest.mark.parametrize("part", ["matplotlib.figure", "matplotlib.backends.backend_agg"])
def test_without_matplotlib_it_is_said_what_to_install(result, tmp_path, monkeypatch, part):
    monkeypatch.setitem(sys.modules, part, None)
    with pytest.raises(MissingPackageError, match="pip install matplotlib"):
        figure.write(result, tmp_path / "figure.png")
    if part == "matplotlib.figure":
        with pytest.raises(MissingPackageError, match="pip install matplotlib"):
            box_plot.write(tmp_path / "box.png", {"PSNR": [box_plot.Panel("4x", {"method": [1.0, 2.0]})]}, "Scores")
    assert not list(tmp_path.iterdir())
