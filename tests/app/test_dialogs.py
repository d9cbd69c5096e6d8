"""The dialogs of the window: export, settings and help."""

from types import SimpleNamespace

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QPalette
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QPushButton

from app import theme
from app.dialogs.export import ExportDialog
from app.dialogs.send import SendDialog
from app.dialogs.settings import SettingsDialog
from app.settings import Settings
from app.style_sheet import TEXT_ROLES
from recon.export.pacs import Destination

LEFT = Qt.MouseButton.LeftButton


def open_dialog(window, name):
    window.commands.by_name[name].trigger()
    QApplication.processEvents()
    return QApplication.activeModalWidget() or next(
        widget for widget in QApplication.topLevelWidgets() if widget.isVisible() and widget is not window
    )


def test_export_dialog_validates_in_place(window, qtbot, tmp_path, child, reconstruct):
    reconstruct(window, qtbot)
    dialog = open_dialog(window, "export")
    button, problem, folder = (child(dialog, name) for name in ("exportButton", "exportProblem", "exportFolder"))
    file = tmp_path / "file"
    file.touch()
    folder.setText(str(file))
    assert "is a file" in problem.text()
    assert not button.isEnabled()
    folder.setText(str(tmp_path / "new" / "deep"))
    assert problem.text() == ""
    child(dialog, "format-dicom").click()
    assert "format" in problem.text()
    QTest.mouseClick(child(dialog, "format-csv"), LEFT, pos=QPoint(8, 8))
    assert problem.text() == "" and not child(dialog, "exportPhase").isEnabled()
    child(dialog, "format-hdf5").click()
    child(dialog, "exportStages").click()
    with qtbot.waitSignal(window.session.exports.written, timeout=5000):
        QTest.mouseClick(button, LEFT)
    assert window.session._engine.saved == [
        (tmp_path / "new" / "deep", ["hdf5", "csv"], True, window.session.slice_index)
    ]
    assert "Exported" in window.banner.text


def kept(n_slices, n_stages):
    """A reconstruction as far as a movie asks what moves in it."""
    volume = np.ones((n_slices, 4, 4), np.float32)
    stages = {f"iterate · {n}": volume * (2 + n) for n in range(n_stages)}
    return SimpleNamespace(indices=tuple(range(n_slices)), final=volume, zero_filled=9 * volume, stages=stages)


def test_a_movie_is_offered_where_something_moves(qtbot, child, new_series):
    results = [
        SimpleNamespace(title="CS-TV", finished=(0,), series=new_series(), reconstruction=kept(*sizes))
        for sizes in ((1, 0), (1, 3), (4, 0), (4, 3))
    ]
    dialog = ExportDialog(results, results[0], "/tmp")
    qtbot.addWidget(dialog)
    dialog.show()
    box, choice = child(dialog, "format-movie"), child(dialog, "exportResult")
    assert not box.isEnabled() and "needs iterations or several slices" in box.text()
    for row, said in enumerate(("the iterations, from", "all slices in turn;", "iterations of the slice in view"), 1):
        QTest.keyClick(choice, Qt.Key.Key_Down)
        assert choice.currentIndex() == row
        assert box.isEnabled() and said in box.text() and box.sizeHint().width() <= box.width()
    QTest.mouseClick(child(dialog, "format-dicom"), LEFT, pos=QPoint(8, 8))
    QTest.mouseClick(box, LEFT, pos=QPoint(8, 8))
    assert child(dialog, "exportButton").isEnabled() and not child(dialog, "exportPhase").isEnabled()
    choice.setCurrentIndex(0)  # what was ticked cannot be made of this one
    assert "format" in child(dialog, "exportProblem").text() and not child(dialog, "exportButton").isEnabled()
    choice.setCurrentIndex(3)
    with qtbot.waitSignal(dialog.export_wanted) as wanted:
        QTest.mouseClick(child(dialog, "exportButton"), LEFT)
    assert wanted.args[1] == ["movie"] and wanted.args[4] is results[3]


def test_a_movie_is_exported_from_the_window(window, qtbot, tmp_path, child, reconstruct):
    reconstruct(window, qtbot)
    done = window.session.result.reconstruction
    done.stages = {"4x · 1": 2 * done.final, "4x · 2": 3 * done.final}
    dialog = open_dialog(window, "export")
    child(dialog, "exportFolder").setText(str(tmp_path))
    QTest.mouseClick(child(dialog, "format-movie"), LEFT, pos=QPoint(8, 8))
    with qtbot.waitSignal(window.session.exports.written, timeout=5000):
        QTest.mouseClick(child(dialog, "exportButton"), LEFT)
    assert window.session._engine.saved == [(tmp_path, ["dicom", "movie"], False, window.session.slice_index)]


def test_export_dialog_says_whether_the_patient_is_named(qtbot, child, new_series):
    results = [
        SimpleNamespace(title="CS-TV", finished=(0,), reconstruction=None, series=new_series(kind=kind, name=kind))
        for kind in ("fastmri", "dicom", "dicom")
    ]
    dialog = ExportDialog(results, results[0], "/tmp")
    qtbot.addWidget(dialog)
    note, choice = child(dialog, "exportNote"), child(dialog, "exportResult")
    named, anonymous = child(dialog, "format-dicom"), child(dialog, "format-dicom-anonymous")
    assert named.isChecked() and not anonymous.isChecked()
    assert "Patient names are not written" in note.text()
    # A source that names somebody is not carried out of the house with them unless that is chosen.
    choice.setCurrentIndex(1)
    assert anonymous.isChecked() and not named.isChecked()
    assert "Patient names are not written" in note.text() and "show a face" in note.text()
    assert "the record beside them" in note.text()
    named.click()
    assert "names included" in note.text()
    choice.setCurrentIndex(2)
    assert named.isChecked()  # what was chosen for one DICOM source stays for the next
    choice.setCurrentIndex(0)
    assert named.isChecked() and not anonymous.isChecked()
    with qtbot.waitSignal(dialog.export_wanted) as wanted:
        QTest.mouseClick(child(dialog, "exportButton"), LEFT)
    assert wanted.args[1] == ["dicom"]


@pytest.mark.parametrize("name", ["scan", "sub-01_ses-pre_task-finger_acq-highres_run-01_bold · volume 07 of 40"])
def test_the_end_of_a_long_name_is_seen_in_the_box(qtbot, child, new_series, name):
    title = "#1 · PC-RNN-S · Equispaced, exact share 4×"
    result = SimpleNamespace(title=title, finished=(0,), reconstruction=None, series=new_series(name=name))
    dialog = ExportDialog([result], result, "/tmp")
    qtbot.addWidget(dialog)
    dialog.resize(600, 400)
    dialog.show()
    box = child(dialog, "exportResult")
    shown = box.shown_text()
    assert box.fontMetrics().horizontalAdvance(shown) < box.width()
    assert (shown == box.currentText()) == (name == "scan")
    assert shown.startswith("#1 · PC-RNN-S") and shown.endswith(name[-15:])
    assert box.itemData(0, Qt.ItemDataRole.ToolTipRole) == box.currentText() == f"{title} · 1 slice · {name}"


def test_settings_dialog_saves_and_the_theme_follows(window, qtbot, child):
    dialog = open_dialog(window, "settings")
    themes = child(dialog, "setting-theme")
    themes.setCurrentIndex(themes.findData("light"))
    child(dialog, "setting-n_recent").setValue(4)
    dialog._save()
    assert window.session.settings.theme == "light"
    assert window.session.settings.n_recent == 4
    assert theme.choice() == "light"


def test_one_button_of_the_settings_stands_out(qapp, qtbot, child):
    theme.apply(qapp, "dark")
    dialog = SettingsDialog(Settings(), [])
    qtbot.addWidget(dialog)
    dialog.show()
    bar = dialog.tabs.tabBar()
    for place, name in ((0, "saveSettings"), (1, "startTraining"), (0, "saveSettings")):
        QTest.mouseClick(bar, LEFT, pos=bar.tabRect(place).center())
        buttons = [one for one in dialog.findChildren(QPushButton) if one.isVisible()]
        painted = {one: one.grab().toImage().pixelColor(6, 12).name() for one in buttons}
        assert [one for one in buttons if painted[one] == theme.colours().accent] == [child(dialog, name)]


def _refused_settings(child, result):
    dialog = SettingsDialog(Settings(), [], "Training")
    QTest.mouseClick(child(dialog, "startTraining"), LEFT)  # no data is chosen
    return dialog


def _refused_export(child, result):
    dialog = ExportDialog([result], result, "/tmp")
    child(dialog, "exportFolder").clear()
    return dialog


def _answered_send(child, result):
    dialog = SendDialog([result], result, [Destination("PACS", "host", 104)], lambda _: True, "MRIWS")
    dialog.verify_wanted.connect(lambda where, _: dialog.show_answer(where, ""))
    QTest.mouseClick(child(dialog, "sendVerify"), LEFT)
    return dialog


@pytest.mark.parametrize(
    ("make", "role"), [(_refused_settings, "error"), (_refused_export, "error"), (_answered_send, "good")]
)
def test_texts_of_an_open_dialog_keep_to_the_theme(qapp, qtbot, child, new_series, make, role):
    theme.apply(qapp, "dark")
    dialog = make(child, SimpleNamespace(title="CS-TV", finished=(0,), reconstruction=None, series=new_series()))
    qtbot.addWidget(dialog)
    dialog.show()
    said = [label for label in dialog.findChildren(QLabel) if label.isVisible() and label.text()]
    roles = [_role(label, theme.DARK) for label in said]
    assert {"text", "muted", role} <= set(roles)
    theme.apply(qapp, "light")
    assert [_role(label, theme.LIGHT) for label in said] == roles
    theme.apply(qapp, "dark")


def _role(label, colours):
    """Which colour of a theme a text is written in; None where it is of none."""
    written = label.palette().color(QPalette.ColorRole.WindowText).name()
    return next((role for role in ("text", *TEXT_ROLES) if getattr(colours, role) == written), None)


@pytest.mark.parametrize("name", ["about", "shortcuts"])
def test_help_dialogs_open_and_close(window, qtbot, name):
    dialog = open_dialog(window, name)
    labels = dialog.findChildren(QLabel)
    words = " ".join(label.text() for label in labels)
    assert ("research use only" in words.lower()) == (name == "about")
    assert ("Right drag" in words) == (name == "shortcuts")
    assert [label.text() for label in labels if label.heightForWidth(label.width()) > label.height()] == []
    QTest.keyClick(dialog, Qt.Key.Key_Escape)
    QApplication.processEvents()
    assert QApplication.activeModalWidget() is None
