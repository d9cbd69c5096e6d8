"""Values along the row or the column under the crosshair, with a real mouse in a real window."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QKeySequence
from PySide6.QtTest import QTest

from app.views.profile_view import Profile, ProfileView

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def shown(window):
    """Bring the pane to the front, as a click on its tab does."""
    window.docks["profile"].raise_()
    return window.profile


def point_at(window, key, x, y):
    well = window.grid.panel(key).well
    QTest.mouseClick(well, LEFT, pos=well.position_of(x, y).toPoint())


def test_all_images_give_their_row_or_column(window, qtbot, reconstruct, shown):
    reconstruct(window, qtbot)
    assert not shown.plot.profiles  # nobody has pointed anywhere
    point_at(window, "final", 21, 14)
    for direction, button in (("row", 0), ("column", 1)):
        QTest.mouseClick(shown.choice.button(button), LEFT)
        assert shown.direction == direction
        assert [profile.title for profile in shown.plot.profiles] == [
            window.grid.panel(key).title() for key in window.grid
        ]
        for key, profile in zip(window.grid, shown.plot.profiles, strict=True):
            image = window.grid.panel(key).well.image
            np.testing.assert_array_equal(profile.values, image[14] if direction == "row" else image[:, 21])
            assert profile.is_reference == (key == "reference") and profile.is_start == (key == "zero-filled")
        assert shown.plot._place == (21 if direction == "row" else 14)
    QTest.keyClick(window.grid.panel("final").well, Qt.Key.Key_Delete)
    assert not shown.plot.profiles


def test_it_follows_crosshair_and_slice(window, qtbot, shown):
    point_at(window, "zero-filled", 20, 20)
    first = shown.plot.profiles[0].values
    point_at(window, "zero-filled", 20, 5)
    assert not np.array_equal(shown.plot.profiles[0].values, first)
    point_at(window, "zero-filled", 20, 20)
    QTest.keyClick(window, Qt.Key.Key_Up)
    qtbot.waitUntil(lambda: not np.array_equal(shown.plot.profiles[0].values, first))


def test_an_image_that_ends_before_the_crosshair_has_none(window, qtbot, reconstruct, shown):
    reconstruct(window, qtbot)
    point_at(window, "final", 30, 40)
    window.grid.set_image("final", np.ones((8, 8), np.float32))
    window.profile_presenter.refresh()
    assert "Final" not in [profile.title for profile in shown.plot.profiles]


def test_the_curves_lie_where_their_values_are(qtbot):
    """A step from 0 to 1 leaves ink at the bottom of the left half and at the top of the right one."""
    view = ProfileView()
    qtbot.addWidget(view)
    view.resize(400, 200)
    view.set_profiles(10, [Profile("step", np.repeat([0.0, 1.0], 50), is_reference=True)])
    view.show()
    qtbot.waitExposed(view)
    ground = view.plot.grab().toImage()
    view.set_profiles(10, [Profile("step", np.full(100, np.nan), is_reference=True)])
    picture = view.plot.grab().toImage()
    changed = np.array(
        [[ground.pixel(x, y) != picture.pixel(x, y) for x in range(picture.width())] for y in range(picture.height())]
    )
    changed[:, : picture.width() // 4] = False  # the numbers of the axis
    height, width = changed.shape
    rows = np.flatnonzero(changed[:, width // 2 - 60 : width // 2 - 20].any(axis=1))
    assert len(rows) and rows.min() > height // 2
    rows = np.flatnonzero(changed[:, -60:-20].any(axis=1))
    assert len(rows) and rows.max() < height // 2


@pytest.mark.parametrize("values", [np.zeros(5), np.full(5, np.nan), np.array([3.0]), np.array([-1.0, 2.0])])
def test_any_values_are_painted(qtbot, values):
    view = ProfileView()
    qtbot.addWidget(view)
    view.resize(120, 60)
    view.set_profiles(0, [Profile("a name that is far too long for a pane so small", values)])
    assert not view.grab().isNull()


def test_the_values_can_be_copied(qtbot):
    view = ProfileView()
    qtbot.addWidget(view)
    view.set_profiles(0, [Profile("Final", np.array([0.5, 1.0])), Profile("Reference", np.array([0.25]))])
    [copy] = view.plot.actions()
    assert copy.shortcut() == QKeySequence.StandardKey.Copy
    copy.trigger()
    assert QGuiApplication.clipboard().text() == "voxel\tFinal\tReference\n0\t0.5\t0.25\n1\t1\t\n"
