"""Scores, mask, k-space, level strip and training monitor."""

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QGuiApplication
from PySide6.QtTest import QTest

from app import theme
from app.views import levels
from app.views.kspace_view import KSpaceView
from app.views.level_bar import LevelBar
from app.views.mask_preview import MaskPreview, coverage, coverage_2d
from app.views.metrics_table import MetricsRow, MetricsTable

ROWS = [
    MetricsRow("zero-filled", 24.1312, 0.70123, 0.0812, 0.0),
    MetricsRow("4x", 29.5, 0.8, 0.02),
    MetricsRow("final", 31.2, 0.9, None, 0.0521),
]


def shown(qtbot, widget, width, height):
    qtbot.addWidget(widget)
    widget.resize(width, height)
    widget.show()
    qtbot.waitExposed(widget)
    return widget


# -- metrics -------------------------------------------------------------------------------------------------------


@pytest.fixture
def table(qtbot):
    widget = shown(qtbot, MetricsTable(), 290, 300)
    widget.set_rows(ROWS, ROWS[:2], "Slice 3")
    return widget


def cells(table, row):
    return [table.item(row, column).text() for column in range(5)]


def test_scores_are_aligned_and_the_best_is_bold(table):
    assert table.horizontalHeaderItem(0).text() == "Slice 3"
    assert cells(table, 0) == ["zero-filled", "24.13", "0.7012", "0.0812", "0.000"]
    assert cells(table, 2) == ["final", "31.20", "0.9000", "–", "0.052"]
    assert table.item(3, 0).text() == "Volume"
    bold = {(row, column) for row in range(table.rowCount()) for column in range(1, 5)
            if table.item(row, column) is not None and table.item(row, column).font().bold()}  # fmt: skip
    assert bold == {(2, 1), (2, 2), (1, 3), (5, 1), (5, 2), (5, 3)}
    assert table.item(0, 1).textAlignment() & Qt.AlignmentFlag.AlignRight
    assert "maximum of the reference" in table.item(0, 1).toolTip()


def test_scores_that_read_the_same_are_equally_bold(table):
    table.set_rows([MetricsRow("zero-filled", 25.5491, 0.70551, 0.064), MetricsRow("final", 25.5489, 0.70549, 0.064)])
    for column in (1, 3):
        assert table.item(0, column).text() == table.item(1, column).text()
        assert table.item(0, column).font().bold() == table.item(1, column).font().bold() is True


def test_table_fits_a_narrow_dock(table):
    assert not table.horizontalScrollBar().isVisible()
    for column in range(1, 5):
        needed = table.sizeHintForColumn(column)
        assert table.columnWidth(column) >= needed


def test_control_c_copies_tab_separated_text(table):
    QTest.keyClick(table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    lines = QGuiApplication.clipboard().text().splitlines()
    assert lines[0] == "block\tstage\tpsnr\tssim\tnmse\tresidual"
    assert lines[1] == "Slice 3\tzero-filled\t24.1312\t0.70123\t0.0812\t0"
    assert lines[3] == "Slice 3\tfinal\t31.2\t0.9\t\t0.0521"
    assert len(lines) == 6


def test_csv_quotes_what_holds_a_comma(table):
    table.set_rows([MetricsRow('a "b", c', 1.0, float("nan"), 0.5)])
    assert table.as_text(",").splitlines()[1] == 'Slice,"a ""b"", c",1,,0.5,'


def test_empty_table_says_why(table, qtbot):
    table.set_message("No reference in this scan.")
    table.clear_rows()
    assert table.rowCount() == 0
    assert table.findChild(type(table._empty)).text() == "No reference in this scan."
    assert not table.horizontalHeader().isVisible()
    table.set_rows(ROWS)
    assert table.horizontalHeader().isVisible()
    assert not table._empty.isVisible()


# -- mask ----------------------------------------------------------------------------------------------------------


def test_each_sampled_line_is_a_bar_on_the_screen(qtbot):
    mask = np.zeros(40, dtype=bool)
    mask[[3, 20, 21]] = True
    widget = shown(qtbot, MaskPreview(), 204, 80)
    widget.set_mask(mask[None], "R 3.9 effective · 26 centre lines")
    picture = widget.grab().toImage()
    bright = [picture.pixelColor(x, 20).red() > 128 for x in range(2, 202)]
    expected = np.repeat(mask, 5)
    assert bright == expected.tolist()
    assert widget.accessibleDescription() == "R 3.9 effective · 26 centre lines"


@pytest.mark.parametrize("n_pixels", [1, 7, 100, 368, 1000])
def test_coverage_keeps_the_sampled_share(n_pixels):
    mask = np.random.default_rng(0).random(368) < 0.25
    shares = coverage(mask, n_pixels)
    assert shares.shape == (n_pixels,)
    assert shares.mean() == pytest.approx(mask.mean(), rel=1e-5)
    assert shares.min() >= -1e-6
    assert shares.max() <= 1 + 1e-6


def test_coverage_in_two_axes_keeps_the_sampled_share():
    mask = np.random.default_rng(0).random((61, 47)) < 0.3
    for shape in ((10, 20), (61, 47), (150, 100)):
        shares = coverage_2d(mask, *shape)
        assert shares.shape == shape
        assert shares.mean() == pytest.approx(mask.mean(), rel=1e-5)


def test_same_lines_in_every_row_are_shown_as_lines(qtbot):
    widget = shown(qtbot, MaskPreview(), 200, 80)
    lines = np.arange(64) % 4 == 0
    widget.set_mask(np.tile(lines, (64, 1)))
    assert widget.shown_mask().shape == (1, 64)
    widget.set_mask(np.random.default_rng(0).random((64, 64)) < 0.3, "R 3.3")
    assert not widget.is_error()
    assert widget.shown_mask().shape == (64, 64)
    assert not widget.grab().isNull()


def test_error_replaces_the_mask(qtbot):
    widget = shown(qtbot, MaskPreview(), 200, 100)
    widget.set_mask(np.ones(8, dtype=bool), "R 1")
    widget.set_error("Centre fraction × acceleration is 1.2; it must be below 1.")
    assert widget.is_error()
    assert widget.shown_mask() is None
    assert widget.text().startswith("Centre fraction")
    assert widget.grab().toImage().pixelColor(100, 0) == QColor(theme.colours().error)
    widget.set_mask(np.ones(8, dtype=bool), "R 1")
    assert not widget.is_error()
    with pytest.raises(ValueError, match="one or two axes"):
        widget.set_mask(np.ones((2, 2, 2), dtype=bool))


# -- k-space -------------------------------------------------------------------------------------------------------


@pytest.fixture
def kspace():
    generator = np.random.default_rng(0)
    data = generator.standard_normal((4, 32, 24)) + 1j * generator.standard_normal((4, 32, 24))
    data[:, 16, 12] = 1000
    return data.astype(np.complex64)


def test_coils_are_chosen_with_keys_and_wheel(qtbot, kspace, turn_wheel):
    view = shown(qtbot, KSpaceView(), 260, 300)
    view.set_kspace(kspace)
    told = []
    view.coilChanged.connect(told.append)
    QTest.keyClick(view.coil_slider, Qt.Key.Key_Right)
    turn_wheel(view.well, 120, Qt.KeyboardModifier.AltModifier)
    assert told == [1, 2]
    assert view.coil_number.text() == "3 / 4"
    view.set_coil(0)
    assert told == [1, 2]
    view.set_coil(99)
    assert view.coil() == 3


def test_logarithm_puts_the_peak_at_the_top(qtbot, kspace):
    view = shown(qtbot, KSpaceView(), 260, 300)
    view.set_kspace(kspace)
    assert view.well.image.max() == pytest.approx(4.0)
    assert view.well.image[16, 12] == pytest.approx(4.0)
    assert np.isfinite(view.well.image).all()
    assert view.well.limits == (0.0, 4.0)


def test_overlay_dims_what_is_left_out(qtbot, kspace):
    view = shown(qtbot, KSpaceView(), 260, 300)
    view.set_kspace(kspace)
    assert not view.overlay.isEnabled()
    mask = np.arange(24) % 2 == 0
    view.set_mask(mask)
    plain = view.well.image.copy()
    QTest.keyClick(view.overlay, Qt.Key.Key_Space)
    assert view.overlay.isChecked()
    np.testing.assert_array_equal(view.well.image[:, mask], plain[:, mask])
    assert view.well.image[:, ~mask].mean() < 0.5 * plain[:, ~mask].mean()
    view.set_mask(np.ones(7, dtype=bool))
    np.testing.assert_array_equal(view.well.image, plain)


def test_overlay_of_another_grid_is_grey_and_says_where_it_is_seen(qtbot, kspace):
    view = shown(qtbot, KSpaceView(), 220, 240)
    view.set_kspace(kspace)
    view.set_mask(np.ones((1, kspace.shape[-1] // 2), bool))
    assert not view.overlay.isEnabled()
    assert "native" in view.overlay.toolTip()
    view.set_mask(np.ones((1, kspace.shape[-1]), bool))
    assert view.overlay.isEnabled()


@pytest.mark.parametrize("data", [np.zeros((2, 8, 8), np.complex64), np.full((8, 8), np.nan, np.complex64)])
def test_empty_or_broken_kspace_is_painted(qtbot, data):
    view = shown(qtbot, KSpaceView(), 260, 300)
    view.set_kspace(data)
    assert not view.grab().isNull()
    view.clear()
    assert view.well.image is None
    with pytest.raises(ValueError, match="coil, y, x"):
        view.set_kspace(np.zeros(5, np.complex64))


# -- level strip ---------------------------------------------------------------------------------------------------


def test_level_bar_tells_what_it_is_told(qtbot):
    bar = shown(qtbot, LevelBar(), 730, 40)
    told = []
    bar.sliceRequested.connect(lambda index: told.append(("slice", index)))
    bar.presetChosen.connect(lambda key: told.append(("preset", key)))
    bar.zoomToFitRequested.connect(lambda: told.append(("fit",)))
    bar.set_slice(2, 16)
    bar.set_levels(1e-4, 9e-4)
    bar.set_preset("soft")
    bar.set_matched(False)
    bar.set_zoom(1.5)
    bar.set_probe("(120, 100)")
    assert told == []
    assert bar.slice_number.text() == "3 / 16"
    assert bar.values.text() == "W 8.00e-4  L 5.00e-4"
    assert bar.preset.currentData() == "soft"
    assert bar.matched.text() == "independent"
    assert bar.fit.text() == "150%"
    QTest.keyClick(bar.slice_slider, Qt.Key.Key_Right)
    QTest.mouseClick(bar.fit, Qt.MouseButton.LeftButton)
    bar.preset.setFocus()
    QTest.keyClick(bar.preset, Qt.Key.Key_Home)
    assert told == [("slice", 3), ("fit",), ("preset", levels.PRESETS[0].key)]
    bar.set_preset(None)
    assert bar.preset.currentText() == "Manual"
    bar.set_slice(0, 1)
    assert not bar.slice_slider.isEnabled()


def test_level_bar_fits_between_docks_at_1280(qtbot):
    bar = shown(qtbot, LevelBar(), 730, 40)
    bar.set_slice(99, 100)
    bar.set_levels(1.234e-12, 9.876e-12)
    bar.set_matched(False)
    bar.set_zoom(40.0)
    bar.set_probe("(1234, 1234)")
    assert bar.minimumSizeHint().width() <= 730


# -- training ------------------------------------------------------------------------------------------------------
