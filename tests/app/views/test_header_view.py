"""What the header pane says of a scan."""

from dataclasses import replace

import pytest

import recon
from app.views.header_view import HeaderView, header_rows
from recon import phantom


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    spec = phantom.PhantomSpec(n_slices=1, n_coils=1, matrix=(32, 32))
    return recon.open_study(phantom.write(tmp_path_factory.mktemp("scan") / "head.h5", spec)).series[0]


@pytest.mark.parametrize("is_assumed", [False, True])
def test_a_size_that_is_assumed_is_no_fact(series, is_assumed):
    geometry = replace(series.geometry, spacing_is_assumed=is_assumed, thickness_is_assumed=is_assumed)
    rows = dict(header_rows(replace(series, geometry=geometry)))
    end = " mm, assumed" if is_assumed else " mm"
    assert rows["Pixel spacing"] == f"6.75 × 6.75{end}"
    assert rows["Slice thickness"] == f"6{end}"
    assert rows["Orientation"] == "not in the file, assumed"


@pytest.mark.parametrize("width", [120, 400])
def test_values_end_where_the_pane_does(qtbot, series, width):
    view = HeaderView()
    qtbot.addWidget(view)
    view.set_series(series)
    view.show()
    view.resize(width, 200)
    assert view.columnWidth(0) + view.columnWidth(1) == view.viewport().width()
    assert view.columnWidth(0) <= view.columnWidth(1)
    view.setColumnWidth(0, 30)  # as the user drags it
    view.resize(width + 100, 200)
    assert view.columnWidth(0) == 30
    assert view.columnWidth(1) == view.viewport().width() - 30
