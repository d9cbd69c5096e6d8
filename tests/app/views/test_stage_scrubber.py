"""The scrubber, driven with mouse, wheel and keys."""

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest

from app.views.stage_scrubber import StageScrubber

STAGES = [
    ("zero-filled", "zero-filled", None),
    *[(f"{module} · {number}", module, number) for module in ("4x", "2x", "1x") for number in range(1, 6)],
    ("refine", "refine", None),
    ("final", "final", None),
]


@pytest.fixture
def scrubber(qtbot):
    widget = StageScrubber()
    qtbot.addWidget(widget)
    widget.resize(700, 116)
    widget.set_stages(STAGES)
    widget.set_scores(list(np.linspace(24, 31, len(STAGES))))
    widget.show()
    qtbot.waitExposed(widget)
    return widget


@pytest.fixture
def moves(scrubber):
    told = []
    scrubber.positionChanged.connect(told.append)
    return told


def test_click_and_drag_go_to_the_stage_under_the_cursor(scrubber, moves, drag):
    where = QPoint(round(scrubber.x_of(7)), 60)
    QTest.mouseClick(scrubber, Qt.MouseButton.LeftButton, pos=where)
    assert moves == [7]
    drag(scrubber, Qt.MouseButton.LeftButton, where, QPoint(round(scrubber.x_of(12)), 60))
    assert moves[-1] == scrubber.position() == 12


def test_keys_and_wheel_step(scrubber, moves, turn_wheel):
    for key in (
        Qt.Key.Key_Right,
        Qt.Key.Key_Right,
        Qt.Key.Key_Left,
        Qt.Key.Key_PageUp,
        Qt.Key.Key_End,
        Qt.Key.Key_Home,
    ):
        QTest.keyClick(scrubber, key)
    assert moves == [1, 2, 1, 6, 17, 0]
    turn_wheel(scrubber, 120)
    turn_wheel(scrubber, -120)
    turn_wheel(scrubber, -120)
    assert moves[6:] == [1, 0]


def test_no_way_leads_to_a_stage_without_an_image(scrubber, moves, drag, turn_wheel, qtbot):
    scrubber.set_lacking([3, 4, 5, 6])
    assert moves == [] and len(scrubber.scores()) == 18 and None not in scrubber.scores()
    where = {index: QPoint(round(scrubber.x_of(index)), 60) for index in (4, 5, 6)}
    QTest.mouseClick(scrubber, Qt.MouseButton.LeftButton, pos=where[4])
    QTest.mouseClick(scrubber, Qt.MouseButton.LeftButton, pos=where[6])
    assert moves == [2, 7]
    drag(scrubber, Qt.MouseButton.LeftButton, where[6], where[4])
    assert moves[2:] == [2]
    QTest.keyClick(scrubber, Qt.Key.Key_Right)
    QTest.keyClick(scrubber, Qt.Key.Key_Left)
    turn_wheel(scrubber, 120)
    turn_wheel(scrubber, -120)
    assert moves[3:] == [7, 2, 7, 2]
    scrubber.rate.setCurrentIndex(scrubber.rate.count() - 1)
    scrubber.set_playing(True)
    qtbot.waitUntil(lambda: scrubber.position() == 9, timeout=20_000)
    scrubber.set_playing(False)
    assert moves[7:10] == [7, 8, 9]
    assert not scrubber.grab().isNull()
    scrubber.set_lacking([])
    QTest.mouseClick(scrubber, Qt.MouseButton.LeftButton, pos=where[4])
    assert scrubber.position() == 4


def test_setters_are_silent_and_stages_grow_live(scrubber, moves):
    scrubber.set_position(5)
    scrubber.clear()
    assert scrubber.stages() == []
    for index, stage in enumerate(STAGES):
        scrubber.append(stage, 20.0 + index)
        scrubber.set_position(index)
        assert not scrubber.grab().isNull()
    assert moves == []
    assert scrubber.position() == len(STAGES) - 1
    assert scrubber.scores()[-1] == 20.0 + len(STAGES) - 1
    assert scrubber.accessibleDescription() == "final, 18 of 18, PSNR 37.00 dB"


def test_scores_may_be_missing(scrubber):
    scrubber.set_scores([None, 25.0])
    assert scrubber.scores() == [None, 25.0] + [None] * 16
    assert not scrubber.grab().isNull()
    scrubber.set_scores([])
    with_text = scrubber.grab().toImage()
    scrubber.set_scores([25.0] * 18)
    assert scrubber.grab().toImage() != with_text


def test_cine_walks_and_stops_at_a_click(scrubber, moves, qtbot):
    scrubber.rate.setCurrentIndex(scrubber.rate.count() - 1)
    QTest.mouseClick(scrubber.play_button, Qt.MouseButton.LeftButton)
    assert scrubber.is_playing()
    qtbot.waitUntil(lambda: len(moves) >= 3, timeout=5000)
    assert moves[:3] == [1, 2, 3]
    QTest.mouseClick(scrubber, Qt.MouseButton.LeftButton, pos=QPoint(round(scrubber.x_of(0)), 60))
    assert not scrubber.is_playing()
    assert not scrubber.play_button.isChecked()
    QTest.keyClick(scrubber, Qt.Key.Key_Space)
    assert scrubber.is_playing()
    scrubber.hide()
    assert not scrubber.is_playing()


def test_cine_returns_to_the_start(scrubber, qtbot, moves):
    scrubber.rate.setCurrentIndex(scrubber.rate.count() - 1)
    scrubber.set_position(16)
    scrubber.set_playing(True)
    qtbot.waitUntil(lambda: len(moves) >= 2, timeout=5000)
    assert moves[:2] == [17, 0]


def test_one_stage_or_none_cannot_play(scrubber):
    scrubber.set_stages(STAGES[:1])
    assert not scrubber.play_button.isVisible()
    scrubber.set_playing(True)
    assert not scrubber.is_playing()
    assert not scrubber.grab().isNull()
    scrubber.clear()
    assert not scrubber.grab().isNull()


def test_hovering_tells_the_value_there(scrubber):
    QTest.mouseMove(scrubber, QPoint(round(scrubber.x_of(3)), 60))
    hovering = scrubber.grab().toImage()
    QTest.mouseMove(scrubber, QPoint(round(scrubber.x_of(9)), 60))
    assert scrubber.grab().toImage() != hovering


def test_a_module_has_its_name_in_the_middle_of_its_stages(scrubber):
    scrubber.set_stages([("zero-filled", "zero-filled", None), ("SENSE", "SENSE", None), ("final", "final", None)])
    width = 60
    assert scrubber._name_start(1, 1, width) == pytest.approx(scrubber.x_of(1) - width / 2)
    assert abs(scrubber._name_start(0, 0, width) + width / 2 - scrubber.x_of(0)) < width
    assert scrubber._name_start(2, 2, width) + width <= scrubber.width()


def test_every_place_is_the_nearest_stage(scrubber):
    for index in range(len(STAGES)):
        assert scrubber.index_at(scrubber.x_of(index) + 3) == index
        assert scrubber.index_at(scrubber.x_of(index) - 3) == index
    assert scrubber.index_at(-100) == 0
    assert scrubber.index_at(5000) == len(STAGES) - 1
