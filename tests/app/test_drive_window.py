"""From the start page to DICOM on disk, with a real scan, the real pipeline, and nothing but mouse and keys."""

from dataclasses import asdict

import numpy as np
import pydicom
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from app.main_window import MainWindow
from app.session import Session

LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
NONE = Qt.KeyboardModifier.NoModifier
LONG_MS = 240_000


@pytest.fixture(scope="session")
def weights_folder(tmp_path_factory):
    """Weights for PC-RNN-S on four coils, fresh ones: this test is about the window, not about the picture."""
    import torch

    from recon import models, weights

    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    network = models.create("pcrnn-s", n_coils=4)
    story = {"preset": "pcrnn-s", "n_coils": 4, "parameters": asdict(network.parameters_)}
    weights.save(folder / "pcrnn-s-4coil.safetensors", network.state_dict(), story)
    return folder


@pytest.fixture
def window(qtbot, monkeypatch, weights_folder, tmp_path):
    monkeypatch.setenv("MRI_WORKSTATION_WEIGHTS", str(weights_folder))
    session = Session(tmp_path / "settings.json")
    window = MainWindow(session)
    qtbot.addWidget(window)
    window.show()
    qtbot.waitExposed(window)
    session.start()
    yield window
    session.close()


def child(window, name):
    found = window.findChild(QWidget, name)
    assert found is not None, name
    return found


def click(widget, where=None):
    QTest.mouseClick(widget, LEFT, NONE, widget.rect().center() if where is None else where)


def turn_wheel(widget, steps, modifiers=NONE):
    position = QPointF(widget.rect().center())
    angle = QPoint(0, 120 * steps)
    event = QWheelEvent(
        position, widget.mapToGlobal(position), QPoint(), angle, Qt.MouseButton.NoButton, modifiers,
        Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(widget, event)


def choose(combo, data):
    """Choose an entry of a list with the keys, as a person without a mouse does."""
    combo.setFocus()
    wanted = combo.findData(data)
    assert wanted >= 0
    for _ in range(combo.count()):
        if combo.currentIndex() == wanted:
            break
        QTest.keyClick(combo, Qt.Key.Key_Down if combo.currentIndex() < wanted else Qt.Key.Key_Up)
    assert combo.currentData() == data


def settle(window):
    window.grid_presenter.flush()
    window.stage_presenter.flush()
    QApplication.processEvents()


def test_a_stranger_opens_the_demo_and_leaves_with_dicom(window, qtbot, tmp_path):
    session = window.session
    problems = []
    session.message.connect(lambda message: message.level == "error" and problems.append(message.text))

    # The start page, and the one big button on it.
    assert window.start_page.isVisible()
    click(child(window, "demoButton"))
    qtbot.waitUntil(lambda: session.preview is not None, timeout=LONG_MS)
    qtbot.waitUntil(lambda: bool(session.models) and session.mask is not None, timeout=LONG_MS)
    settle(window)
    assert window.grid.isVisible()
    assert not window.start_page.isVisible()
    assert session.series.n_coils == 4
    assert window.grid.keys() == ["zero-filled", "final", "reference"]

    # The recipe: pattern, acceleration, seed, model.
    choose(child(window, "maskType"), "random")
    acceleration = child(window, "acceleration")
    acceleration.setFocus()
    QTest.keyClick(acceleration, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    QTest.keyClicks(acceleration, "6")
    QTest.keyClick(acceleration, Qt.Key.Key_Return)
    seed = child(window, "seed")
    click(seed)
    QTest.keyClicks(seed, "11")
    QTest.keyClick(seed, Qt.Key.Key_Return)
    choose(child(window, "modelChoice"), "pcrnn-s")
    request = session.request
    assert (request.mask.kind, request.mask.acceleration, request.mask.seed) == ("random", 6, 11)
    qtbot.waitUntil(lambda: session.mask is not None and session.mask.acceleration > 5, timeout=LONG_MS)
    assert "effective" in window.mask_preview.text()
    qtbot.waitUntil(lambda: session.preview is not None, timeout=LONG_MS)

    # Reconstruct: the stages arrive one by one while the window answers.
    live = []
    session.step_arrived.connect(lambda _index: live.append((session.step.title, session.is_running)))
    with qtbot.waitSignal(session.job_finished, timeout=LONG_MS) as finished:
        click(child(window, "reconstructButton"))
        assert child(window, "cancelButton").isEnabled()
    assert finished.args == ["done"]
    assert problems == []
    titles = [title for title, _ in live]
    assert titles == [
        "zero-filled", *(f"{scale} · {number}" for scale in ("4x", "2x", "1x") for number in range(1, 6)), "final",
    ]  # fmt: skip
    assert all(is_running for _, is_running in live)
    settle(window)
    assert window.grid.keys() == ["zero-filled", "4x", "2x", "1x", "final", "reference"]
    for key in window.grid:
        assert window.grid.panel(key).well.image is not None, key
    assert window.grid.error_panel("final").well.image is not None
    assert "Final" in window.metrics.as_text()

    # Scrub: a click in the middle of the line, then the arrow keys.
    scrubber = child(window, "stageScrubber")
    click(scrubber, QPoint(int(scrubber.x_of(8)), scrubber.height() // 2))
    settle(window)
    assert session.step.title == "2x · 3"
    assert window.grid.panel("2x").title() == "2x · 3/5"
    QTest.keyClick(window.grid.panel("2x").well, Qt.Key.Key_Left)
    settle(window)
    assert session.step.title == "2x · 2"
    np.testing.assert_array_equal(window.grid.panel("2x").well.image, session.slice_result.steps[7].image)

    # Window and level by a right drag, the same for all panes.
    well = window.grid.panel("final").well
    centre = well.rect().center()
    before = session.view.levels
    QTest.mousePress(well, RIGHT, NONE, centre)
    for step in range(1, 6):
        QTest.mouseMove(well, centre + QPoint(-6 * step, 0))
    QTest.mouseRelease(well, RIGHT, NONE, centre + QPoint(-30, 0))
    after = session.view.levels
    assert after[1] - after[0] < before[1] - before[0]
    assert window.grid.levels() == after

    # Crosshair with values.
    click(well)
    assert "final" in window.status.labels["probe"].text()

    # Another scan from the list, ten slices of it; the wheel goes through them.
    qtbot.waitUntil(lambda: len(session.studies) == 3, timeout=LONG_MS)
    series_list = child(window, "seriesList")
    row = series_list.visualItemRect(series_list.item(2))
    click(series_list.viewport(), row.center())
    qtbot.waitUntil(lambda: session.series.n_slices == 10 and session.preview is not None, timeout=LONG_MS)
    settle(window)
    start = session.slice_index
    turn_wheel(window.grid.panel("zero-filled").well, -2)
    assert session.slice_index == start - 2
    qtbot.waitUntil(lambda: session.preview is not None and session.preview.index == start - 2, timeout=LONG_MS)
    settle(window)
    reference = session.series.reference[start - 2]
    np.testing.assert_array_equal(window.grid.panel("reference").well.image, reference)
    assert window.status.labels["slice"].text() == f"slice {start - 1}/10"

    # Back to the result, and out of the door with it.
    click(series_list.viewport(), series_list.visualItemRect(series_list.item(0)).center())
    assert session.result is not None
    QTest.keyClick(window, Qt.Key.Key_E, Qt.KeyboardModifier.ControlModifier)
    dialog = QApplication.activeModalWidget()
    assert dialog is not None
    folder = child(dialog, "exportFolder")
    folder.setFocus()
    folder.selectAll()
    QTest.keyClicks(folder, str(tmp_path / "out"))
    QTest.mouseClick(child(dialog, "format-hdf5"), LEFT, NONE, QPoint(8, 8))
    with qtbot.waitSignal(session.exports.written, timeout=LONG_MS):
        click(child(dialog, "exportButton"))
    assert problems == []
    assert "Exported" in child(window, "bannerText").text()

    # Read back what a viewer would read.
    files = sorted((tmp_path / "out").glob("*.dcm/*"))
    assert len(files) == 1
    dataset = pydicom.dcmread(files[0])
    final = session.result.slices[0].final.image
    expected = final[::-1] if session.series.geometry.flip_rows else final
    pixels = dataset.pixel_array.astype(np.float64)
    assert pixels.shape == expected.shape
    assert np.corrcoef(pixels.ravel(), expected.ravel())[0, 1] > 0.9999
    assert dataset.SOPClassUID == pydicom.uid.MRImageStorage
    assert "RESEARCH" in dataset.ImageComments.upper()
    import h5py

    with h5py.File(next((tmp_path / "out").glob("*.h5"))) as file:
        np.testing.assert_allclose(file["reconstruction"][0], final)


def test_a_cancelled_slice_leaves_the_window_ready(window, qtbot):
    session = window.session
    click(child(window, "demoButton"))
    qtbot.waitUntil(lambda: session.preview is not None and bool(session.models), timeout=LONG_MS)
    settle(window)
    button, cancel = child(window, "reconstructButton"), child(window, "cancelButton")
    click(button)
    qtbot.waitUntil(lambda: session.slice_result is not None and len(session.slice_result.steps) >= 3, timeout=LONG_MS)
    n_steps = len(session.slice_result.steps)
    item = session.slice_result
    with qtbot.waitSignal(session.job_finished, timeout=LONG_MS) as finished:
        click(cancel)
    assert finished.args == ["partial"]
    # One stage may have been on its way when the button was pressed, and one in the hands of the network.
    assert len(item.steps) <= n_steps + 2
    assert button.isEnabled()
    assert not cancel.isEnabled()
    assert session.results == []
