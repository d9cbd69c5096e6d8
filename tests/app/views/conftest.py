"""Real mouse, wheel and key events, and a grid to send them to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from app import theme
from app.views.image_grid import ImageGrid, PanelSpec

NO_MODIFIER = Qt.KeyboardModifier.NoModifier


@pytest.fixture(autouse=True)
def dressed(qapp: QApplication) -> Iterator[None]:
    """Dark theme for each test, whatever the one before chose."""
    theme.apply(qapp, "dark")
    yield
    theme.apply(qapp, "dark")


@pytest.fixture
def turn_wheel() -> Callable[..., None]:
    """Send a wheel event as the platform would."""

    def turn(widget: QWidget, delta: int, modifiers=NO_MODIFIER, where: QPoint | None = None, sideways=False) -> None:
        position = QPointF(where if where is not None else widget.rect().center())
        angle = QPoint(delta, 0) if sideways else QPoint(0, delta)
        QApplication.sendEvent(
            widget,
            QWheelEvent(
                position, widget.mapToGlobal(position), QPoint(), angle, Qt.MouseButton.NoButton, modifiers,
                Qt.ScrollPhase.NoScrollPhase, False,
            ),
        )  # fmt: skip

    return turn


@pytest.fixture
def drag() -> Callable[..., None]:
    """Press, move in steps, release."""

    def drag(widget: QWidget, button, start: QPoint, end: QPoint, modifiers=NO_MODIFIER) -> None:
        QTest.mousePress(widget, button, modifiers, start)
        for step in range(1, 5):
            QTest.mouseMove(widget, start + (end - start) * step / 4)
        QTest.mouseRelease(widget, button, modifiers, end)

    return drag


def ramp(height: int = 64, width: int = 64) -> np.ndarray:
    """Image whose value tells where it is: 100 y + x."""
    return (100.0 * np.arange(height)[:, None] + np.arange(width)).astype(np.float32)


@pytest.fixture
def ramp_image() -> np.ndarray:
    """64 × 64 image with the value 100 y + x."""
    return ramp()


@pytest.fixture
def grid(qtbot) -> ImageGrid:
    """Grid with three images, one of them the reference, and two error maps."""
    widget = ImageGrid()
    qtbot.addWidget(widget)
    widget.resize(900, 640)
    widget.set_panels(
        [PanelSpec("zf", "zero-filled"), PanelSpec("final", "final"), PanelSpec("reference", "reference", "", True)]
    )
    for key in widget:
        widget.set_image(key, ramp(), "31.24 dB · 0.912")
    for key in ("zf", "final"):
        widget.set_error(key, np.abs(ramp() - 5), "NMSE 0.012")
    widget.set_levels(0.0, 6400.0)
    widget.set_data_range(6363.0)
    widget.show()
    qtbot.waitExposed(widget)
    return widget
