"""PySide6 6.12.0 lost a reference to True with each emit and ended the interpreter; this notices it in time."""

import sys

import numpy as np
import pytest
from PySide6.QtCore import QObject, Signal

from app.views.image_canvas import ImageCanvas


class Emitter(QObject):
    fired = Signal(bool)
    plain = Signal()


def _settled(value):
    return sys.getrefcount(value)


@pytest.mark.parametrize("constant", [True, None, False], ids=repr)
def test_five_thousand_emits_leave_the_constants_alone(qapp, constant):
    emitter = Emitter()
    heard = []
    emitter.fired.connect(heard.append)
    emitter.plain.connect(lambda: None)
    emitter.fired.emit(True)
    heard.clear()
    before = _settled(constant)
    for _ in range(5000):
        emitter.fired.emit(True)
        emitter.plain.emit()
    n_heard = len(heard)
    heard.clear()
    assert n_heard == 5000
    assert abs(_settled(constant) - before) < 200


def test_repaints_leave_the_constants_alone(qapp, qtbot):
    canvas = ImageCanvas()
    qtbot.addWidget(canvas)
    canvas.resize(40, 40)
    images = [np.random.default_rng(seed).random((16, 16)).astype(np.float32) for seed in range(2)]
    canvas.show()
    canvas.grab()
    before = _settled(None), _settled(True)
    for number in range(1000):
        canvas.set_image(images[number % 2])
        canvas.repaint()
    after = _settled(None), _settled(True)
    assert abs(after[0] - before[0]) < 200
    assert abs(after[1] - before[1]) < 200
