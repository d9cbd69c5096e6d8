"""Windows that save and open sessions, over scans that the engine knows."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileDialog

from app.main_window import MainWindow
from app.session import Session
from app.views.region import Region

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
CONTROL = Qt.KeyboardModifier.ControlModifier


def settle(window):
    window.grid_presenter.flush()
    window.stage_presenter.flush()
    QApplication.processEvents()


@pytest.fixture
def scans(tmp_path, engine, new_series):
    """Give the folder of three scans that the engine knows."""
    folder = tmp_path / "scans"
    folder.mkdir()
    engine.series["knee.h5"] = new_series(name="knee.h5", n_slices=4)
    engine.series["images.nii"] = new_series(name="images.nii", kind="nifti")
    for name in ("disc.h5", "knee.h5", "images.nii"):
        (folder / name).write_bytes(name.encode() * 100)
    return folder


@pytest.fixture
def start(qtbot, engine, tmp_path):
    """Give the function that opens a window of its own on some paths, as the program does."""
    windows = []

    def start(*paths):
        number = len(windows)
        session = Session(tmp_path / f"config{number}" / "settings.json", engine)
        session.seen = []
        session.message.connect(session.seen.append)
        window = MainWindow(session)
        windows.append(window)
        qtbot.addWidget(window)
        window.show()
        QTest.qWaitForWindowActive(window)
        session.start()
        if paths:
            session.open(list(paths))
            qtbot.waitUntil(
                lambda: len(session.studies) == len(paths) or session.keeping.path is not None, timeout=9000
            )
            qtbot.waitUntil(lambda: session.preview is not None and bool(session.models), timeout=9000)
        settle(window)
        return window

    yield start
    engine.gate.set()
    for window in windows:
        window.session.close()


@pytest.fixture
def save(monkeypatch, qtbot):
    """Give the function that saves by key and dialog."""

    def save(window, file):
        asked = []
        monkeypatch.setattr(
            QFileDialog, "getSaveFileName", lambda *arguments: asked.append(arguments) or (str(file), "")
        )
        before = len(window.session.seen)
        QTest.keyClick(window, Qt.Key.Key_S, CONTROL)
        assert asked
        qtbot.waitUntil(lambda: len(window.session.seen) > before, timeout=9000)
        return asked[0]

    return save


@pytest.fixture
def worked(start, scans, qtbot, reconstruct, press_in):
    """Give a window in which somebody worked: two results, another series, another recipe, another look."""
    window = start(scans / "disc.h5", scans / "knee.h5")
    session = window.session
    session.select(session.studies[0].series[0], 1)
    qtbot.waitUntil(lambda: session.preview is not None, timeout=9000)
    reconstruct(window, qtbot)
    session.set_request(model="cs-tv", kind="random", acceleration=6, seed=11, coils=4)
    qtbot.waitUntil(lambda: bool(session.recipe.parameters), timeout=9000)
    assert session.recipe.set_parameter("lambda_", "0.02")
    session.select(session.studies[1].series[0])
    qtbot.waitUntil(lambda: session.preview is not None and session.mask is not None, timeout=9000)
    with qtbot.waitSignal(session.job_finished, timeout=9000):
        session.reconstruct((0, 2))
    session.select(index=3)
    qtbot.waitUntil(lambda: session.preview is not None, timeout=9000)
    settle(window)
    for key in (Qt.Key.Key_4, Qt.Key.Key_R, Qt.Key.Key_N, Qt.Key.Key_W, Qt.Key.Key_E, Qt.Key.Key_D, Qt.Key.Key_Plus):
        press_in(window, key)
    press_in(window, Qt.Key.Key_D, Qt.KeyboardModifier.ShiftModifier)
    session.view.set_levels(-1.5, 2.5)
    session.view.set_crosshair(7, 9)
    session.view.set_region(Region(3, 4, 10, 20))
    session.view.set_wipe(0.25)
    session.change_settings(colours="inferno")
    session.set_request(model="pcrnn-s", acceleration=8)
    settle(window)
    return window


@pytest.fixture
def press_in():
    def press_in(window, key, modifier=NONE):
        QTest.keyClick(window, key, modifier)
        settle(window)

    return press_in
