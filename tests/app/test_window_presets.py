"""Windows of the scan and of the user: in the menu, by key, in the choice above the images."""

from __future__ import annotations

import json

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest


def choices(window):
    preset = window.level_bar.preset
    return [preset.itemText(index) for index in range(preset.count())]


def open_series(window, qtbot, engine, series):
    engine.series[series.name] = series
    window.session.open(f"/nowhere/{series.name}")
    qtbot.waitUntil(lambda: window.session.series is series and window.session.preview is not None, timeout=5000)
    window.grid_presenter.flush()


def test_the_window_of_a_dicom_header_is_offered_where_it_names_one(window, qtbot, engine, new_series):
    action = window.commands.by_name["level-stored"]
    assert not action.isEnabled() and "DICOM-stored" not in choices(window)
    before = window.session.view.levels
    QTest.keyClick(window, Qt.Key.Key_6)
    assert window.session.view.levels == before
    engine.windows = {("mr.dcm", 2): (0.25, 0.75), ("mr.dcm", 3): (0.5, 1.0)}
    open_series(window, qtbot, engine, new_series(name="mr.dcm"))
    assert action.isEnabled() and choices(window).count("DICOM-stored") == 1
    QTest.keyClick(window, Qt.Key.Key_6)
    assert window.session.view.levels == window.grid.levels() == (0.25, 0.75) and action.isChecked()
    assert window.level_bar.preset.currentText() == "DICOM-stored"
    assert "DICOM header" in window.level_bar.preset.toolTip()
    assert window.status.labels["levels"].text().endswith("(DICOM-stored)")
    # A window is of the slice on which it is taken, and stays; on another slice it is not that slice's.
    QTest.keyClick(window, Qt.Key.Key_Up)
    qtbot.waitUntil(lambda: window.session.preview is not None)
    assert window.session.view.levels == (0.25, 0.75)
    assert window.level_bar.preset.currentText() == "Manual" and not action.isChecked()
    assert window.status.labels["levels"].text().endswith("(manual)")
    QTest.keyClick(window, Qt.Key.Key_6)
    assert window.session.view.levels == (0.5, 1.0)
    QTest.keyClick(window, Qt.Key.Key_Up)
    qtbot.waitUntil(lambda: not action.isEnabled(), timeout=5000)
    assert "DICOM-stored" not in choices(window)


def test_the_window_of_the_reference_is_offered_where_there_is_one(window, qtbot, engine, new_series):
    session, action, bar = window.session, window.commands.by_name["level-matched"], window.level_bar.preset
    first = session.series
    assert action.isEnabled() and "Reference" in choices(window) and bar.currentText() == "Reference"
    open_series(window, qtbot, engine, new_series(name="bare.h5", has_reference=False))
    before = session.view.levels
    QTest.keyClick(window, Qt.Key.Key_1)
    assert not action.isEnabled() and not action.isChecked() and "Reference" not in choices(window)
    assert (session.view.levels, session.view.preset, bar.currentText()) == (before, "auto", "Auto")
    QTest.keyClick(window, Qt.Key.Key_3)
    well = window.grid.panel("zero-filled").well
    QTest.mouseDClick(well, Qt.MouseButton.RightButton, Qt.KeyboardModifier.NoModifier, well.rect().center())
    assert (session.view.levels, session.view.preset, bar.currentText()) == (before, "auto", "Auto")
    assert window.status.labels["levels"].text().endswith("(auto)")
    session.select(first)
    qtbot.waitUntil(lambda: session.preview is not None and session.view.preset is not None, timeout=5000)
    assert action.isEnabled() and action.isChecked() and bar.currentText() == "Reference"


def test_who_is_told_of_a_new_window_finds_it_in_place(qapp):
    import numpy as np

    from app.views import levels
    from app.viewstate import ViewState

    view = ViewState()
    view.set_policy("stored", levels.Manual(0.25, 0.75))
    view.apply_preset("stored", np.ones((4, 4)), None)
    seen = []
    view.levels_changed.connect(lambda: seen.append([preset.key for preset in view.presets]))
    view.set_policy("stored", levels.Manual(0.5, 1.0))
    assert view.preset is None and len(seen) == 1 and "stored" in seen[0]


def test_a_window_that_is_kept_fits_scans_of_any_scale_and_outlives_the_session(
    window, qtbot, engine, new_series, tmp_path
):
    from app.session import Session

    session, action = window.session, window.commands.by_name["level-user"]
    assert not action.isEnabled() and "User" not in choices(window)
    top = float(session.preview.reference.max())
    session.view.set_levels(0.1 * top, 0.6 * top)
    assert session.view.preset is None
    QTest.keyClick(window, Qt.Key.Key_K)
    assert session.view.preset == "user" and window.level_bar.preset.currentText() == "User"
    assert session.view.levels == pytest.approx((0.1 * top, 0.6 * top)) and action.isChecked()
    QTest.keyClick(window, Qt.Key.Key_1)
    assert session.view.preset == "matched"
    series = new_series(name="faint.h5")
    image = series.source.image
    series.source.image = lambda index: image(index) * 1e-4
    open_series(window, qtbot, engine, series)
    QTest.keyClick(window, Qt.Key.Key_7)
    assert session.view.levels == pytest.approx((0.1e-4 * top, 0.6e-4 * top), rel=1e-5)
    # Of a phase there is nothing to keep.
    QTest.keyClick(window, Qt.Key.Key_P)
    assert not window.commands.by_name["keepWindow"].isEnabled()
    file = tmp_path / "config" / "settings.json"
    assert json.loads(file.read_text())["user_white"] == pytest.approx(0.6)
    later = Session(file, engine)
    assert [preset.key for preset in later.view.presets][-1] == "user"
    later.close()
