"""Magnitude, phase, real and imaginary part: by key and mouse, in all images, with windows and errors of their own."""

from __future__ import annotations

import json
import math

import h5py
import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QDialog

from app.views.component import Component, Picture, cyclic_table
from app.views.region import Region

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def show(window, qtbot):
    """Press a key, and wait until all images in view are there."""

    def show(key, component):
        QTest.keyClick(window, key)
        view = window.session.view
        assert view.component is component
        qtbot.waitUntil(lambda: window.session.preview is not None, timeout=5000)
        window.grid_presenter.flush()
        window.status.refresh()

    return show


def images(window):
    return {key: window.grid.panel(key).well.image for key in window.grid}


def test_keys_show_the_parts_of_all_images(window, qtbot, reconstruct, show):
    reconstruct(window, qtbot)
    magnitudes = images(window)
    levels = window.session.view.levels
    show(Qt.Key.Key_P, Component.PHASE)
    phases = images(window)
    assert phases.keys() == magnitudes.keys() and len(phases) > 3
    for image in phases.values():
        assert image[0, 0] == pytest.approx(-math.pi, abs=2e-3) and image[0, -1] == pytest.approx(math.pi, abs=2e-3)
    assert window.grid.levels() == (-math.pi, math.pi)
    for key, part in ((Qt.Key.Key_R, np.cos), (Qt.Key.Key_I, np.sin)):
        show(key, Component.REAL if part is np.cos else Component.IMAGINARY)
        for name, image in images(window).items():
            assert image == pytest.approx(
                magnitudes[name] * part(phases[name]), abs=2e-3 * float(magnitudes[name].max())
            )
        assert window.grid.levels() == (-levels[1], levels[1])
    show(Qt.Key.Key_M, Component.MAGNITUDE)
    assert all(np.array_equal(image, magnitudes[name]) for name, image in images(window).items())
    assert window.grid.levels() == levels


def test_before_a_reconstruction_there_is_the_phase_of_what_was_measured(window, qtbot, show):
    show(Qt.Key.Key_P, Component.PHASE)
    shown = images(window)
    assert shown["zero-filled"] is not None and shown["reference"] is not None
    assert window.session.preview.zero_filled_phase is not None
    # And of the next slice, too.
    QTest.keyClick(window, Qt.Key.Key_Up)
    qtbot.waitUntil(lambda: window.session.preview is not None, timeout=5000)
    assert window.session.preview.reference_phase is not None


def test_the_choice_the_key_and_the_words_go_along(window, qtbot, reconstruct, show, child):
    reconstruct(window, qtbot)
    choice = child(window, "componentChoice")
    assert choice.currentText() == "Magnitude" and not child(window, "colourKey").isVisible()
    QTest.mouseClick(choice, LEFT)
    entries = choice.view()
    qtbot.waitUntil(entries.isVisible, timeout=5000)
    QTest.keyClick(entries, Qt.Key.Key_Down)
    QTest.keyClick(entries, Qt.Key.Key_Return)
    window.activateWindow()
    assert window.session.view.component is Component.PHASE
    qtbot.waitUntil(lambda: window.session.preview is not None, timeout=5000)
    window.grid_presenter.flush()
    key = child(window, "colourKey")
    assert key.isVisible() and key.ends == ("−π", "π")
    assert not child(window, "levelValues").isVisible()
    assert "phase" in window.status.labels["levels"].text() and "rad" in window.status.labels["levels"].text()
    assert window.grid.key.title.text().startswith("|complex error|")
    assert window.commands.by_name["component-phase"].isChecked()
    # The window of the phase is its own.
    before = window.session.view._levels[Component.MAGNITUDE]
    window.grid.levelsChanged.emit(-0.5, 0.5)
    window.grid_presenter.flush()
    assert key.ends == ("-0.500", "0.500") and window.grid.levels() == (-0.5, 0.5)
    show(Qt.Key.Key_M, Component.MAGNITUDE)
    assert window.session.view.levels == before and child(window, "levelValues").isVisible()
    assert window.session.view.preset == "matched"
    QTest.keyClick(window, Qt.Key.Key_1)
    show(Qt.Key.Key_P, Component.PHASE)
    assert window.grid.levels() == (-math.pi, math.pi)


def test_errors_are_those_of_what_is_shown(window, qtbot, reconstruct, show):
    reconstruct(window, qtbot)
    session = window.session
    step, preview = session.slice_result.final, session.preview
    magnitude = window.grid.error_panel("final").well.image
    assert magnitude == pytest.approx(np.abs(step.image - preview.reference))
    show(Qt.Key.Key_P, Component.PHASE)
    preview = session.preview
    pictures = [
        image * np.exp(1j * np.asarray(phase, np.float64))
        for image, phase in ((step.image, step.phase), (preview.reference, preview.reference_phase))
    ]
    difference = pictures[0] - pictures[1]
    scale = float(preview.reference.max())
    assert window.grid.error_panel("final").well.image == pytest.approx(np.abs(difference), abs=2e-3 * scale)
    show(Qt.Key.Key_R, Component.REAL)
    assert window.grid.error_panel("final").well.image == pytest.approx(np.abs(difference.real), abs=2e-3 * scale)


def test_errors_with_a_sign(window, qtbot, reconstruct, show):
    reconstruct(window, qtbot)
    session, key = window.session, window.grid.key
    step, reference = session.slice_result.final, session.preview.reference
    columns = np.linspace(0, 2 * np.pi, reference.shape[1], dtype=np.float32)
    object.__setattr__(step, "image", reference + np.float32(0.1 * reference.max()) * np.sin(columns))
    difference = step.image - reference

    def turn():
        QTest.keyClick(window, Qt.Key.Key_D, Qt.KeyboardModifier.ShiftModifier)
        window.grid_presenter.flush()
        return window.grid.error_panel("final").well

    unsigned = window.grid.error_panel("final").well
    before = unsigned.limits
    assert before[0] == 0 and key.title.text() == "|error| ×5"
    well = turn()
    assert well.image == pytest.approx(difference)
    assert well.limits == (-before[1], before[1]) and key.limits() == well.limits
    assert key.title.text() == "error ×5" and "blue too dark" in key.title.toolTip()
    assert "brightest blue is −" in key.bar.accessibleDescription()
    # Colours of the picture itself: what is too bright is orange, what is too dark blue.
    for sign in (1, -1):
        y, x = np.unravel_index(np.argmax(sign * difference), difference.shape)
        colour = well.grab().toImage().pixelColor(well.position_of(x, y).toPoint())
        assert (colour.red() - colour.blue()) * sign > 40, colour.name()
    # A window that follows a key press has the new sign, and phases have errors without one.
    press_e = window.grid.error_gain()
    QTest.keyClick(window, Qt.Key.Key_E)
    assert window.grid.error_gain() != press_e and well.limits[0] == -well.limits[1]
    show(Qt.Key.Key_P, Component.PHASE)
    assert key.title.text().startswith("|complex error|") and well.limits[0] == 0
    show(Qt.Key.Key_R, Component.REAL)
    assert key.title.text().startswith("real error") and well.limits[0] < 0
    show(Qt.Key.Key_M, Component.MAGNITUDE)
    assert turn().image == pytest.approx(np.abs(difference))
    assert window.grid.error_panel("final").well.limits[0] == 0


def test_an_image_without_phase_says_so(window, qtbot, reconstruct, show):
    reconstruct(window, qtbot)
    for step in window.session.slice_result.steps:
        object.__setattr__(step, "phase", None)
    show(Qt.Key.Key_P, Component.PHASE)
    well = window.grid.panel("final").well
    assert well.image is None and "No phase" in well.message
    show(Qt.Key.Key_M, Component.MAGNITUDE)
    assert well.image is not None


def test_phases_in_a_region_are_measured_as_angles(window, qtbot, reconstruct, show):
    image = np.full((4, 4), math.pi, np.float32)
    image[::2] = -math.pi + 0.2
    measures = Region(0, 0, 4, 4).measure(image, np.full((4, 4), -math.pi, np.float32), is_phase=True)
    assert measures.mean == pytest.approx(-math.pi + 0.1)
    assert measures.deviation == pytest.approx(0.1 * math.sqrt(16 / 15), rel=1e-4)
    assert measures.error == pytest.approx(0.2 / math.sqrt(2), rel=1e-4) and math.isnan(measures.snr)
    reconstruct(window, qtbot)
    show(Qt.Key.Key_P, Component.PHASE)
    window.session.view.set_region(Region(2, 2, 12, 12))
    assert window.region.horizontalHeaderItem(0).text().endswith("in rad")
    assert "nan" not in window.region.as_text()


def test_colours_of_the_phase_end_where_they_begin():
    table = cyclic_table().astype(int)
    steps = np.abs(np.diff(np.vstack([table, table[:1]])[:, :3], axis=0)).max(axis=1)
    assert steps.max() <= 12  # also from the last colour to the first
    assert len(np.unique(table, axis=0)) > 200


def test_a_missing_phase_leaves_the_magnitude():
    picture = Picture(np.ones((3, 4), np.float32))
    assert Component.MAGNITUDE.of(picture) is picture.magnitude
    assert [part.of(picture) for part in (Component.PHASE, Component.REAL, Component.IMAGINARY)] == [None] * 3
    assert Component.PHASE.error(picture, picture) is None


def test_a_result_is_exported_with_its_phase_where_that_is_ticked(qtbot, tmp_path, child):
    from app.main_window import MainWindow
    from app.session import Session

    session = Session(tmp_path / "settings.json")
    window = MainWindow(session)
    qtbot.addWidget(window)
    window.show()
    session.start()
    session.open_demo()
    qtbot.waitUntil(lambda: session.series is not None and session.mask is not None, timeout=30_000)
    assert session.set_request(model="zero-filled", kind="random", acceleration=4, seed=1)
    with qtbot.waitSignal(session.job_finished, timeout=60_000):
        assert session.reconstruct()
    for is_wanted in (True, False):
        window.ask_export()
        dialog = child(window, "exportDialog")
        folder = tmp_path / str(is_wanted)
        child(dialog, "exportFolder").setText(str(folder))
        child(dialog, "format-dicom").setChecked(False)
        child(dialog, "format-hdf5").setChecked(True)
        if is_wanted:
            QTest.mouseClick(child(dialog, "exportPhase"), LEFT, pos=child(dialog, "exportPhase").rect().center() * 0.1)
        assert child(dialog, "exportPhase").isChecked() == is_wanted
        with qtbot.waitSignal(session.exports.written, timeout=30_000):
            QTest.mouseClick(child(dialog, "exportButton"), LEFT)
        (file,), (record,) = folder.glob("*.h5"), folder.glob("*.json")
        with h5py.File(file) as stored:
            assert ("phase" in stored) == is_wanted
        assert json.loads(record.read_text())["request"]["phase"] == is_wanted
        qtbot.waitUntil(lambda: window.findChild(QDialog, "exportDialog") is None, timeout=5000)
    session.close()
