"""Colours of magnitudes: chosen in the menu, the same in all images, remembered; errors and phases keep theirs."""

from __future__ import annotations

from dataclasses import fields

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QColor
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QMenu

from app.settings import Settings
from app.views import levels


@pytest.fixture
def choose(window, click):
    """Click on an entry of the View menu."""

    def choose(name):
        menu = window.findChild(QMenu, "menuView")
        menu.popup(QPoint(0, 0))
        click(menu, menu.actionGeometry(window.commands.by_name[name]).center())
        menu.close()
        window.grid_presenter.flush()

    return choose


def middle(well):
    return well.grab().toImage().pixelColor(well.width() // 2 + 8, well.height() // 2 + 8)


def test_magnitudes_take_the_chosen_colours_and_all_else_keeps_its_own(window, qtbot, reconstruct, choose, engine):
    from app.session import Session

    reconstruct(window, qtbot)
    wells = {key: window.grid.panel(key).well for key in window.grid}
    grey = {key: middle(well) for key, well in wells.items()}
    error = middle(window.grid.error_panel("4x").well)
    assert all(colour.red() == colour.green() for colour in grey.values())
    for name in ("viridis", "inferno"):
        choose(f"colours-{name}")
        assert window.session.view.colours == name and window.commands.by_name[f"colours-{name}"].isChecked()
        assert not window.commands.by_name["colours-grey"].isChecked()
        table = levels.COLOUR_MAPS[name]()
        for key, well in wells.items():
            assert middle(well) == QColor(*table[grey[key].red()].tolist()), (name, key)
        assert middle(window.grid.error_panel("4x").well) == error
    QTest.keyClick(window, Qt.Key.Key_N)
    assert middle(wells["4x"]) == QColor(*levels.inferno_table()[255 - grey["4x"].red()].tolist())
    QTest.keyClick(window, Qt.Key.Key_R)
    qtbot.waitUntil(lambda: window.session.preview is not None)
    window.grid_presenter.flush()
    assert middle(wells["4x"]).red() == middle(wells["4x"]).blue()
    # The next window begins with them.
    later = Session(window.session.preferences._file, engine)
    assert later.view.colours == "inferno"
    later.close()


def test_colours_that_are_not_grey_have_a_key(window, choose, child):
    from app.views.component import cyclic_table

    def ramp():
        image = key.grab().toImage()
        left = next(x for x in range(image.width()) if image.pixelColor(x, image.height() // 2).saturation() > 60)
        return [image.pixelColor(left + step, image.height() // 2) for step in (20, 40)]

    key, values = child(window, "colourKey"), child(window, "levelValues")
    assert values.isVisible() and not key.isVisible()
    choose("colours-viridis")
    assert key.isVisible() and not values.isVisible()
    assert key.ends == tuple(levels.format_value(end, 3) for end in window.session.view.levels)
    assert all(
        abs(QColor(*row).hue() - colour.hue()) < 25
        for row, colour in zip(levels.viridis_table()[[85, 165]].tolist(), ramp(), strict=True)
    )
    QTest.keyClick(window, Qt.Key.Key_3)
    assert key.ends[1] == levels.format_value(window.session.view.levels[1], 3)
    QTest.keyClick(window, Qt.Key.Key_R)
    assert values.isVisible() and not key.isVisible()
    QTest.keyClick(window, Qt.Key.Key_P)
    assert key.isVisible() and key.ends == ("−π", "π") and "radians" in key.accessibleDescription()
    assert any(abs(QColor(*row).hue() - ramp()[0].hue()) < 10 for row in cyclic_table().tolist())
    QTest.keyClick(window, Qt.Key.Key_M)
    choose("colours-grey")
    assert values.isVisible() and not key.isVisible()


def test_the_settings_offer_what_there_is():
    choices = {field.name: field.metadata.get("choices") for field in fields(Settings)}["colours"]
    assert choices == tuple(levels.COLOUR_MAPS)
