"""Playing the slices of a series: by key, at a speed, in a loop, until the user takes over."""

from __future__ import annotations

from itertools import pairwise

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.views.stage_scrubber import FRAMES_PER_SECOND
from recon.errors import RequestError

S = Qt.Key.Key_S


@pytest.fixture
def playing(window):
    """Give the window with its slices playing as fast as they can."""
    for _ in FRAMES_PER_SECOND[FRAMES_PER_SECOND.index(window.session.view.rate) + 1 :]:
        QTest.keyClick(window, S, Qt.KeyboardModifier.ShiftModifier)
    assert window.session.view.rate == FRAMES_PER_SECOND[-1]
    QTest.keyClick(window, S)
    assert window.session.cine.is_on and window.commands.by_name["cine"].isChecked()
    return window


def turn_wheel(window):
    well = window.grid.panel("reference").well
    place = QPointF(well.rect().center())
    QApplication.sendEvent(
        well,
        QWheelEvent(
            place, well.mapToGlobal(place), QPoint(), QPoint(0, 120), Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
        ),
    )  # fmt: skip


def test_slices_play_in_a_loop_and_the_same_key_ends_it(playing, qtbot):
    session, seen = playing.session, [playing.session.slice_index]
    assert playing.status.labels["slice"].text() == f"slice {seen[0] + 1}/5 · 15 fps"
    session.slice_changed.connect(seen.append)
    qtbot.waitUntil(lambda: len(seen) > 7, timeout=5000)
    assert seen == [(seen[0] + number) % 5 for number in range(len(seen))]
    QTest.keyClick(playing, S)
    assert not session.cine.is_on and not playing.commands.by_name["cine"].isChecked()
    n_seen = len(seen)
    qtbot.wait(300)
    assert len(seen) == n_seen and playing.status.labels["slice"].text().endswith("/5")


@pytest.mark.parametrize("take_over", ["key", "wheel", "slider", "escape", "close"])
def test_whoever_chooses_a_slice_or_presses_escape_ends_it(playing, qtbot, take_over):
    session = playing.session
    if take_over == "wheel":
        turn_wheel(playing)
    elif take_over == "slider":
        playing.level_bar.slice_slider.setFocus()
        QTest.keyClick(playing.level_bar.slice_slider, Qt.Key.Key_End)
    elif take_over == "close":
        QTest.keyClick(playing, Qt.Key.Key_W, Qt.KeyboardModifier.ControlModifier)
        assert session.series is None
    else:
        QTest.keyClick(playing, Qt.Key.Key_Down if take_over == "key" else Qt.Key.Key_Escape)
    assert not session.cine.is_on and not playing.commands.by_name["cine"].isChecked()


def test_escape_ends_the_playing_and_leaves_the_reconstruction(playing, qtbot, engine):
    engine.gate.clear()
    QTest.keyClick(playing, Qt.Key.Key_F5)
    assert playing.session.is_running and playing.session.cine.is_on
    QTest.keyClick(playing, Qt.Key.Key_Escape)
    assert playing.session.is_running and not playing.session.cine.is_on
    with qtbot.waitSignal(playing.session.job_finished):
        QTest.keyClick(playing, Qt.Key.Key_Escape)
        engine.gate.set()
    assert not playing.session.is_running


def test_a_slow_disk_is_waited_for(window, qtbot, engine, session, new_series):
    engine.series["slow.h5"] = new_series(n_slices=40, name="slow.h5")
    session.open("/nowhere/slow.h5")
    qtbot.waitUntil(lambda: session.series.name == "slow.h5" and session.preview is not None)
    engine.preview_delay_s = 0.15
    session.view.set_rate(15)
    seen = []
    session.slice_changed.connect(seen.append)
    QTest.keyClick(window, S)
    qtbot.wait(1500)
    QTest.keyClick(window, S)
    assert 2 < len(seen) < 14  # 23 at full speed
    assert all(after == (before + 1) % 40 for before, after in pairwise(seen))
    n_read = len(engine.preview_calls)
    qtbot.wait(1200)
    assert len(engine.preview_calls) <= n_read + 5  # the slice in view and its neighbours


def test_one_slice_plays_nothing_and_both_cines_share_a_speed(window, qtbot, engine, new_series, reconstruct, click):
    reconstruct(window, qtbot)
    rate = window.scrubber.rate
    assert rate.currentText() == "4 fps"
    click(rate)
    qtbot.waitUntil(rate.view().isVisible, timeout=5000)
    QTest.keyClick(rate.view(), Qt.Key.Key_Down)
    QTest.keyClick(rate.view(), Qt.Key.Key_Return)
    window.activateWindow()
    assert window.session.view.rate == 8 and window.session.cine._timer.interval() == 125
    QTest.keyClick(window, S, Qt.KeyboardModifier.ShiftModifier)
    assert rate.currentText() == "15 fps" and window.scrubber._timer.interval() == 67
    QTest.keyClick(window, S, Qt.KeyboardModifier.ShiftModifier)
    assert rate.currentText() == "2 fps"
    engine.series["one.h5"] = new_series(n_slices=1, name="one.h5")
    window.session.open("/nowhere/one.h5")
    qtbot.waitUntil(lambda: window.session.series.n_slices == 1)
    assert not window.commands.by_name["cine"].isEnabled()


def test_slices_play_on_where_the_mask_cannot_be_drawn(window, qtbot, engine, monkeypatch):
    def refuse(*_):
        raise RequestError("the mask does not fit.")

    monkeypatch.setattr(engine, "sampling_mask", refuse)
    monkeypatch.setattr(engine, "preview", refuse)
    assert window.session.set_request(kind="equispaced")
    seen = []
    window.session.slice_changed.connect(seen.append)
    QTest.keyClick(window, S)
    qtbot.waitUntil(lambda: len(seen) >= 3, timeout=10_000)
    window.session.cine.stop()
