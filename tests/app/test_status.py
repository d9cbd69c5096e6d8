"""The status bar says what is in view."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt

from app.views.component import Picture
from app.views.levels import format_value


@pytest.fixture
def probe(window, qtbot):
    """Give the function that returns the values under the crosshair as the status bar says them and as they are."""

    def probe():
        session = window.session
        qtbot.waitUntil(lambda: session.preview is not None, timeout=9000)
        window.grid_presenter.flush()
        (x, y), step, preview = session.view.crosshair, session.step, session.preview
        pictures = {} if step is None else {"final": Picture(step.image, step.phase)}
        pictures |= {"reference": Picture(preview.reference, preview.reference_phase)}
        values = {name: session.view.component.of(picture)[y, x] for name, picture in pictures.items()}
        words = [f"{name} {format_value(value, 3)}" for name, value in values.items()]
        return window.status.labels["probe"].text(), f"({x}, {y})  " + "  ".join(words)

    return probe


def test_the_value_under_the_crosshair_is_that_of_the_image_in_view(window, probe, press, reconstruct, qtbot, click):
    click(window.grid.panel("reference").well)
    seen = [probe()]
    for key in (Qt.Key.Key_Up, Qt.Key.Key_Home, Qt.Key.Key_End):
        press(key)
        seen.append(probe())
    for model in ("pcrnn-s", "cs-tv"):
        assert window.session.set_request(model=model)
        reconstruct(window, qtbot)
        seen.append(probe())
    for key in (Qt.Key.Key_B, Qt.Key.Key_P, Qt.Key.Key_R, Qt.Key.Key_M, Qt.Key.Key_Home):
        press(key)
        seen.append(probe())
    assert [text for text, _ in seen] == [expected for _, expected in seen]
    assert len({text for text, _ in seen}) > 5
