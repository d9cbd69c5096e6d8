"""A region drawn in one image is measured in all of them, with a real mouse in a real window."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest

from app.views.region import Measures, Region
from app.views.region_table import RegionRow, RegionTable
from recon.data import Geometry

SHIFT = Qt.KeyboardModifier.ShiftModifier
LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def draw(window):
    """Drag with Shift held from one voxel to another of a column, or a little beside them."""

    def draw(key, first, last, beyond=(0, 0)):
        well = window.grid.panel(key).well
        begin, end = (well.position_of(*pixel).toPoint() for pixel in (first, last))
        end += QPoint(*beyond)
        QTest.mousePress(well, LEFT, SHIFT, begin)
        QTest.mouseMove(well, (begin + end) / 2)
        QTest.mouseMove(well, end)
        QTest.mouseRelease(well, LEFT, SHIFT, end)

    return draw


def rows(window):
    return {row.title: row.measures for row in window.region._rows}


def test_all_images_are_measured_where_one_was_drawn_in(window, qtbot, reconstruct, draw):
    reconstruct(window, qtbot)
    draw("final", (10, 12), (25, 30))
    region = window.session.view.region
    assert region == Region(10, 12, 26, 31)  # voxels of the array, although the picture is upside down
    assert window.session.view.crosshair is None
    assert all(panel.well._region == region for panel in window.grid._all_panels())
    reference = window.grid.panel("reference").well.image[12:31, 10:26].astype(float)
    assert set(rows(window)) == {window.grid.panel(key).title() for key in window.grid}
    for key in window.grid:
        measures = rows(window)[window.grid.panel(key).title()]
        values = window.grid.panel(key).well.image[12:31, 10:26].astype(float)
        assert measures.mean == pytest.approx(values.mean())
        assert measures.deviation == pytest.approx(values.std(ddof=1))
        if key == "reference":
            assert math.isnan(measures.error)
        else:
            assert measures.error == pytest.approx(np.sqrt(((values - reference) ** 2).mean()))
    heading = window.region.horizontalHeaderItem(0)
    assert heading.text() == "16 × 19" and heading.toolTip() == "16 × 19 voxels, 16 × 19 mm, at 10, 12"
    assert not window.region.visibleRegion().isEmpty()


def test_it_stays_for_other_slices_and_results_and_ends_with_the_series(window, qtbot, reconstruct, draw, new_series):
    draw("zero-filled", (15, 15), (22, 20))
    region, before = window.session.view.region, rows(window)["Zero-filled"]
    QTest.keyClick(window, Qt.Key.Key_Up)
    qtbot.waitUntil(lambda: rows(window).get("Zero-filled") not in (None, before))
    assert window.session.view.region == region
    reconstruct(window, qtbot)
    assert {"Zero-filled", "Final", "Reference"} <= set(rows(window))
    window.session._engine.series["other.h5"] = new_series(name="other.h5")
    window.session.open("/nowhere/other.h5")
    qtbot.waitUntil(lambda: window.session.series.title == "other")
    assert window.session.view.region is None and not rows(window)


@pytest.mark.parametrize("how", ["click", "key"])
def test_it_is_taken_away(window, draw, how):
    draw("zero-filled", (15, 15), (22, 20))
    well = window.grid.panel("final" if how == "click" else "zero-filled").well
    if how == "click":
        QTest.mouseClick(well, LEFT, SHIFT, well.rect().center())
    else:
        QTest.keyClick(well, Qt.Key.Key_Delete)
    assert window.session.view.region is None and not rows(window)
    assert all(panel.well._region is None for panel in window.grid._all_panels())


def test_beside_the_image_it_ends_at_the_edge(window, draw):
    _, width = window.grid.panel("zero-filled").well.image.shape
    draw("zero-filled", (width - 5, 4), (width - 1, 0), beyond=(400, 400))
    assert window.session.view.region == Region(width - 5, 0, width, 5)


def test_millimetres_that_nobody_measured_are_not_stated(window, draw, new_series, qtbot):
    geometry = Geometry(spacing_is_assumed=True)
    window.session._engine.series["assumed.h5"] = new_series(name="assumed.h5", geometry=geometry)
    window.session.open("/nowhere/assumed.h5")
    qtbot.waitUntil(lambda: window.session.series.title == "assumed" and window.session.preview is not None)
    window.grid_presenter.flush()
    draw("zero-filled", (10, 12), (25, 30))
    assert window.region.horizontalHeaderItem(0).toolTip() == "16 × 19 voxels, at 10, 12"


def test_a_plain_drag_draws_none(window, qtbot):
    well = window.grid.panel("zero-filled").well
    begin, end = (well.position_of(*pixel).toPoint() for pixel in ((10, 10), (20, 20)))
    QTest.mousePress(well, LEFT, pos=begin)
    QTest.mouseMove(well, end)
    QTest.mouseRelease(well, LEFT, pos=end)
    assert window.session.view.region is None and window.session.view.crosshair == (20, 20)


def test_a_closed_pane_opens_for_who_draws_and_the_numbers_can_be_copied(window, draw):
    window.docks["region"].close()
    draw("zero-filled", (2, 2), (22, 20))
    assert not window.region.visibleRegion().isEmpty()
    window.region.copy(",")
    head, line, *_ = QGuiApplication.clipboard().text().splitlines()
    assert head == "region,image,mean,sd,snr,rms_error"
    assert line.startswith('"21 × 19 voxels, 21 × 19 mm, at 2, 2",Zero-filled,')
    mean, deviation, ratio, _ = map(float, line.rsplit(",", 4)[1:])
    assert ratio == pytest.approx(mean / deviation, rel=1e-4)


def test_small_numbers_have_one_power_of_ten(qtbot):
    table = RegionTable()
    qtbot.addWidget(table)
    table.set_rows(
        "2 × 2 voxels, 2 × 2 mm, at 0, 0",
        [
            RegionRow("a", Measures(4.681e-4, 2.21e-4, 2.118, 7.883e-5)),
            RegionRow("b", Measures(4.6e-4, 0.0, math.nan, math.nan)),
        ],
    )
    assert table.horizontalHeaderItem(0).text() == "2 × 2, in 1e-4"
    shown = [[table.item(line, column).text() for column in range(5)] for line in range(2)]
    assert shown == [["a", "4.681", "2.210", "2.12", "0.788"], ["b", "4.600", "0.000", "–", "–"]]
    assert "0.000468" in table.as_text() and "7.883e-05" in table.as_text()
    table.set_rows("", [RegionRow("a", Measures(46.0, 2.0, 23.0, 1.0))])
    assert "1e" not in table.horizontalHeaderItem(0).text() and table.item(0, 1).text() == "46.000"


def test_an_image_of_another_size_is_measured_as_far_as_it_goes():
    image = np.arange(20, dtype=np.float32).reshape(4, 5)
    inside = Region(3, 2, 9, 9).measure(image, None)
    assert inside.mean == image[2:, 3:].mean() and math.isnan(inside.error)
    outside = Region(7, 7, 9, 9).measure(image, image)
    assert all(math.isnan(value) for value in outside)
    one = Region.between((2, 1), (2, 1)).measure(image, image)
    assert one.mean == 7 and math.isnan(one.deviation) and one.error == 0


def test_numbers_are_seen_before_names_in_a_pane_of_any_width(qtbot):
    table = RegionTable()
    qtbot.addWidget(table)
    # Too narrow for the numbers alone when they come, then wider, and narrow again.
    table.resize(120, 200)
    table.show()
    QTest.qWaitForWindowExposed(table)
    table.set_rows("36 × 27 voxels", [RegionRow("CS-TV, lambda 0.01", Measures(2e-4, 1e-4, 2.0, 3e-5))])
    header = table.horizontalHeader()
    for width in (120, 300, 150, 260, 100):
        table.resize(width, 200)
        qtbot.waitUntil(lambda width=width: header.viewport().width() == table.viewport().width() <= width)
        numbers = header.length() - header.sectionSize(0)
        expected = max(header.viewport().width() - numbers, header.minimumSectionSize())
        qtbot.waitUntil(lambda expected=expected: header.sectionSize(0) == expected)
