"""The training page of the settings: what it says of data, recipe and mistakes, and that Start is always in sight."""

import pytest
from PySide6.QtCore import QRect, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileDialog

from app import theme
from app.dialogs.settings import SettingsDialog
from app.settings import Settings
from app.training.recipe import list_recipes, told
from training.config import TrainingConfig

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier


@pytest.fixture
def dialog(qtbot):
    """Give the dialog at its training page, with a short screen's height."""
    dialog = SettingsDialog(Settings(), [("pcrnn-s", "PC-RNN-S"), ("oucr", "OUCR")], "Training")
    qtbot.addWidget(dialog)
    dialog.show()
    qtbot.waitExposed(dialog)
    return dialog


def place_of(widget, dialog):
    return QRect(widget.mapTo(dialog, widget.rect().topLeft()), widget.size())


def test_the_report_is_as_tall_as_its_text_and_start_stays_in_sight(dialog, qtbot):
    page, report = dialog.training, dialog.training.report
    page._report("Nothing can be trained on it.")
    QApplication.processEvents()
    line = report.fontMetrics().lineSpacing()
    assert line <= report.height() < 2 * line + 12
    before = dialog.height()
    page._report("\n".join(f"file{number}.h5: is cut off, and a long reason why " * 3 for number in range(30)))
    qtbot.waitUntil(lambda: dialog.height() > before, timeout=20_000)
    assert report.height() > 60 * line
    assert report.verticalScrollBar().maximum() == 0
    assert dialog.height() <= 0.9 * dialog.screen().availableGeometry().height()
    assert dialog.rect().contains(place_of(page.start, dialog))
    assert not page.area.isAncestorOf(page.start)
    # Another choice of data takes it away.
    page.data.edit.setText("/elsewhere")
    assert not report.isVisible()


def test_a_longer_recipe_does_not_push_into_the_report(qtbot):
    theme.apply(QApplication.instance(), "dark")
    dialog = SettingsDialog(Settings(), [("pcrnn-s", "PC-RNN-S"), ("oucr", "OUCR")], "Training")
    qtbot.addWidget(dialog)
    dialog.show()
    qtbot.waitExposed(dialog)
    page = dialog.training
    page._report("\n".join(f"file{number}.h5 is cut off." for number in range(17)))
    qtbot.wait(200)
    for name in ("pcrnn-quick", "pcrnn-s-paper", "unet-fastmri-quick", "oucr-paper", "complexmri-paper"):
        place = page.recipe.findData(name)
        page.recipe.setCurrentIndex(place)
        page.recipe.activated.emit(place)
        qtbot.wait(150)
        report, recipe, model = (place_of(one, dialog) for one in (page.report, page.recipe, page.model))
        assert report.bottom() < recipe.top() < recipe.bottom() < model.top(), name


def test_a_mistake_is_forgiven_with_the_next_change(dialog):
    page = dialog.training
    for change in (
        lambda: QTest.keyClicks(page.data.edit, "a"),
        lambda: QTest.keyClicks(page.accelerations, "4"),
        lambda: page.model.setCurrentIndex(1 - page.model.currentIndex()),
        lambda: page.masks["magic"].toggle(),
        lambda: page.coils.setValue(page.coils.value() + 1),
        lambda: dialog.findChild(object, "setting-n_recent").setValue(4),
    ):
        QTest.mouseClick(page.start, LEFT)
        assert dialog.problem.isVisible()
        change()
        assert not dialog.problem.isVisible()


def test_the_masks_of_the_recipe_are_said(dialog):
    page = dialog.training
    page.recipe.setCurrentIndex(page.recipe.findData("pcrnn-s-paper"))
    page._take_recipe()
    assert page.masks_said.text() == "as the recipe says: equispaced-fraction"
    page.masks["magic"].toggle()
    assert page.masks_said.text() == "instead of what the recipe says: equispaced-fraction"
    page.masks["magic"].toggle()
    assert page.masks_said.text().startswith("as ")
    # A recipe that names none takes those of the training.
    page.recipe.setCurrentIndex(page.recipe.findData("pcrnn-quick"))
    page._take_recipe()
    assert page.masks_said.text() == "as the recipe says: " + ", ".join(TrainingConfig().mask_kinds)


def test_a_recipe_of_the_users_own_is_chosen_from_a_file(dialog, tmp_path, monkeypatch):
    page, own = dialog.training, tmp_path / "mine.toml"
    own.write_text("# Short and small.\nmodel = 'oucr'\nmask_kinds = ['magic']\nminutes = 3\n")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(own), ""))
    n_recipes = page.recipe.count()
    for _ in range(2):  # a second time it is read anew
        page.area.ensureWidgetVisible(page.own_recipe)
        QTest.mouseClick(page.own_recipe, LEFT)
        assert page.recipe.count() == n_recipes + 1
    assert page.read["training_recipe"]() == str(own)
    assert (page.recipe.currentText(), page.summary.text()) == ("mine.toml", "Short and small.")
    assert (page.model.currentData(), page.minutes.value()) == ("oucr", 3)
    assert page.masks_said.text() == "as the recipe says: magic"
    # A file that is none leaves the choice as it is and says why.
    own.with_name("bad.toml").write_text("modle = 'oucr'\n")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(own.with_name("bad.toml")), ""))
    QTest.mouseClick(page.own_recipe, LEFT)
    assert page.read["training_recipe"]() == str(own)
    assert "bad.toml" in page.summary.text()
    assert "did you mean 'model'" in page.summary.text()


def test_a_recipe_file_is_found_again_at_the_next_start(qtbot, tmp_path):
    own = tmp_path / "mine.toml"
    own.write_text("# Mine.\nmodel = 'oucr'\n")
    for settings in (Settings(training_recipe=str(own)), Settings(training_recipe=str(tmp_path / "gone.toml"))):
        dialog = SettingsDialog(settings, [("pcrnn-s", "PC-RNN-S")], "Training")
        qtbot.addWidget(dialog)
        page = dialog.training
        is_there = settings.training_recipe == str(own)
        assert (page.read["training_recipe"]() == str(own)) == is_there
        assert page.summary.text().startswith("Mine." if is_there else "There is no recipe")


def test_masks_stand_in_even_columns(dialog):
    lefts = sorted({box.x() for box in dialog.training.masks.values()})
    assert len(lefts) == 3
    assert abs((lefts[2] - lefts[1]) - (lefts[1] - lefts[0])) <= 1


def test_every_recipe_tells_its_lists():
    for recipe in list_recipes():
        assert told(recipe.values, "mask_kinds")
        assert told(recipe.values, "accelerations")
    assert told({}, "accelerations") == "4, 4, 8"
    assert told({"accelerations": [2.5]}, "accelerations") == "2.5"
