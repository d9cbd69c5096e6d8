"""What the training monitor shows: all of all curves, numbers at every axis, previews, why there are no curves yet."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QImage, QPainter, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.training.events import Record
from app.views.ticks import log_ticks, ticks, written
from app.views.training_monitor import TrainingMonitor
from app.views.training_plots import PLOTS, RunCurves, TrainingPlots


def curves(n_steps=90, last_validation=120.0, psnr=(26.91, 26.92, 26.95), rate=(1e-4, 2e-4, 3e-4), loss=None):
    steps = np.linspace(n_steps / 9, n_steps, 9).tolist()
    seen = np.linspace(last_validation / 3, last_validation, 3).tolist()
    return {
        "loss": (steps, [0.4 - 0.01 * place for place in range(9)] if loss is None else loss),
        "seconds": (steps, [0.5 * step for step in steps]),
        "learning_rate": (steps[:3], list(rate)),
        "psnr": (seen, list(psnr)),
        "zero_filled_psnr": (seen, [26.9] * 3),
        "ssim": (seen, [0.7, 0.71, 0.75]),
    }


@pytest.fixture
def plots(qtbot):
    """Give plots as small as the pane has them on a screen of 1280 by 800 pixels."""
    plots = TrainingPlots()
    qtbot.addWidget(plots)
    plots.resize(316, 290)
    plots.show()
    qtbot.waitExposed(plots)
    return plots


def widgets(plots):
    import pyqtgraph

    return plots.findChildren(pyqtgraph.PlotWidget)


def is_all_in_view(plots):
    for widget in widgets(plots):
        (left, right), (bottom, top) = widget.viewRange()
        for item in widget.listDataItems():
            x, y = item.getData()
            if not (left < x.min() and x.max() < right and bottom < y.min() and y.max() < top):
                return False
    return True


def test_every_plot_shows_all_points_of_all_plots(plots):
    plots.set_runs([RunCurves("run", curves())])
    assert len(widgets(plots)) == len(PLOTS)
    assert is_all_in_view(plots)
    # The validation comes after the last step that has a loss, and goes on.
    plots.set_runs([RunCurves("run", curves(last_validation=400.0, psnr=(26.91, 26.92, 29.0)))])
    assert is_all_in_view(plots)
    other = RunCurves("other", curves(n_steps=900, last_validation=900), is_main=False)
    plots.set_runs([RunCurves("run", curves()), other])
    assert is_all_in_view(plots)
    plots.set_axis("minutes")
    assert is_all_in_view(plots)


def test_what_the_user_looks_at_stays_until_another_axis_is_chosen(plots):
    plots.set_runs([RunCurves("run", curves())])
    view = widgets(plots)[0].viewport()
    position = QPointF(view.rect().center())
    wheel = QWheelEvent(
        position, view.mapToGlobal(position), QPoint(), QPoint(0, 240), Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(view, wheel)
    assert not is_all_in_view(plots)
    looked_at = widgets(plots)[0].viewRange()
    plots.set_runs([RunCurves("run", curves(last_validation=400.0))])
    assert widgets(plots)[0].viewRange() == looked_at
    plots.set_axis("steps")
    assert is_all_in_view(plots)


def numbers_of(axis):
    """What is painted beside an axis."""
    image = QImage(400, 400, QImage.Format.Format_ARGB32)
    painter = QPainter(image)
    try:
        return [text for _, _, text in axis.generateDrawSpecs(painter)[2]]
    finally:
        painter.end()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"n_steps": 187, "last_validation": 187},
        {"n_steps": 43_000, "last_validation": 70_000},
        {"n_steps": 2_000_000, "last_validation": 2_000_000},
        {"rate": (1e-4, 1e-4, 1e-4)},
        {"rate": (9.7e-4, 3.1e-4, 1e-5)},
        {"psnr": (26.901, 26.901, 26.902)},
        {"psnr": (18.0, 31.0, 38.0)},
        {"loss": [10.0**-place for place in range(9)]},
        {"loss": [0.00123 + 1e-5 * place for place in range(9)]},
        {"loss": [0.9, 0.5, 0.1, 0.09, 0.08, 0.05, 0.04, 0.02, 0.02]},
    ],
    ids=str,
)
def test_every_axis_has_two_numbers(plots, changes):
    plots.set_runs([RunCurves("run", curves(**changes))])
    for axis in ("steps", "minutes"):
        plots.set_axis(axis)
        QApplication.processEvents()
        for plot, widget in zip(PLOTS, widgets(plots), strict=True):
            for side in ("left", "bottom"):
                found = numbers_of(widget.getAxis(side))
                assert len(set(found)) >= 2, (plot.title, axis, side, found)
                assert len(set(found)) == len(found), (plot.title, axis, side, found)


def test_rates_and_steps_are_written_briefly():
    assert written([1e-4, 2e-4, 3e-4]) == ["1e-4", "2e-4", "3e-4"]
    assert written([0.0, 2.5e-4, 5e-4]) == ["0", "2.5e-4", "5.0e-4"]
    assert written([20_000, 40_000]) == ["20k", "40k"]
    assert written([500_000, 1_000_000]) == ["0.5M", "1.0M"]
    assert written([0.25, 0.5]) == ["0.25", "0.50"]
    assert written([100, 200]) == ["100", "200"]
    assert written([0.0]) == ["0"]


@settings(deadline=None)
@given(
    low=st.floats(-1e6, 1e6, allow_subnormal=False),
    span=st.floats(1e-3, 1e6),
    gap=st.floats(0.05, 2),
    margin=st.floats(0, 0.5),
)
def test_ticks_are_two_or_more_and_inside(low, span, gap, margin):
    high = low + span
    found = ticks(low, high, gap * span, margin * span)
    assert len(found) >= 2
    assert found == sorted(set(found))
    slack = 1e-9 * max(abs(low), abs(high))
    assert low - slack <= found[0]
    assert found[-1] <= high + slack
    assert len(set(written(found))) == len(found)


@settings(deadline=None)
@given(low=st.floats(-8, 5), span=st.floats(0.01, 8), gap=st.floats(0.05, 1))
def test_ticks_of_logarithms_are_two_or_more_and_inside(low, span, gap):
    found = log_ticks(low, low + span, gap * span, 0.1 * span)
    assert len(found) >= 2
    assert found == sorted(set(found))
    assert low - 1e-6 <= found[0]
    assert found[-1] <= low + span + 1e-6


def test_until_there_is_a_curve_the_monitor_says_what_happens(qtbot):
    monitor = TrainingMonitor()
    qtbot.addWidget(monitor)
    monitor.show()
    monitor.set_run("run", "/run", "starting", "")
    monitor.set_runs([RunCurves("run", {})])
    assert monitor.waiting_bar.isVisible()
    assert monitor.waiting_bar.maximum() == 0  # it only moves
    assert monitor.waiting_text.text() == "Reading the data …"
    assert not monitor.axis.isVisible()
    assert not monitor.plots.isVisible()
    monitor.set_run("run", "/run", "training", "")
    monitor.set_runs([RunCurves("run", {"loss": ([1.0], [0.5])})])
    assert not monitor.waiting.isVisible()
    assert monitor.axis.isVisible()
    assert monitor.plots.isVisible()
    # One that failed before its first step waits for nothing.
    monitor.set_run("other", "/other", "failed", "It failed.")
    monitor.set_runs([RunCurves("other", {})])
    assert not monitor.waiting_bar.isVisible()
    assert not monitor.waiting_text.text()
    assert not monitor.axis.isVisible()


# ---------------------------------------------------------------- on a run


def test_a_plot_without_a_curve_has_no_numbers(plots):
    def numbered():
        return [widget.getAxis("left").style["showValues"] for widget in widgets(plots)]

    steps = ([1.0, 2.0], [0.5, 0.4])
    plots.set_runs([RunCurves("run", {"loss": steps, "learning_rate": steps})])
    assert numbered() == [True, False, False, True]
    plots.set_runs([RunCurves("run", dict.fromkeys(("loss", "learning_rate", "psnr", "ssim"), steps))])
    assert numbered() == [True] * 4


@pytest.fixture
def monitored(window):
    """Give the window's monitor and its run."""
    return window, window.training, window.session.training


def test_curves_of_other_runs_are_laid_over(monitored, qtbot, tmp_path, write_events):
    window, monitor, run = monitored
    for name, loss in (("mine", 0.5), ("other", 0.3)):
        write_events(
            tmp_path / name, *({"event": "step", "step": n, "loss": loss} for n in range(1, 9)),
            {"event": "validation", "step": 8, "psnr": 30.0, "zero_filled_psnr": 25.0, "ssim": 0.9},
        )  # fmt: skip
    (tmp_path / "empty").mkdir()
    run.adopt(tmp_path / "mine")
    qtbot.waitUntil(lambda: not run.record.is_empty, timeout=20_000)
    monitor.compare_menu_opened.emit()
    (action,) = [one for one in monitor.compare_menu.actions() if one.isCheckable()]
    assert action.text() == "other"
    action.trigger()
    qtbot.waitUntil(lambda: "other: loss" in monitor.plots.drawn().get("loss", []), timeout=20_000)
    drawn = monitor.plots.drawn()
    assert drawn["PSNR, dB"] == ["other: psnr", "mine: zero_filled_psnr", "mine: psnr"]
    assert "other" in monitor.legend.text()
    # It grows there too.
    write_events(tmp_path / "other", {"event": "step", "step": 50, "loss": 0.1})
    presenter = window.training_desk.presenter
    qtbot.waitUntil(
        lambda: presenter.comparison.records[tmp_path / "other"].curves["loss"][0][-1] == 50, timeout=20_000
    )
    presenter.compare(tmp_path / "empty")
    assert "no training run" in window.session.seen[-1].text
    assert window.session.settings.training_compared == (str(tmp_path / "other"),)
    presenter.compare(tmp_path / "other", is_on=False)
    assert monitor.plots.drawn()["SSIM"] == ["mine: ssim"]
    presenter.close()


def test_files_that_are_left_out_are_counted_once_and_named(monitored, qtbot, tmp_path, write_events, caplog):
    _, monitor, run = monitored
    skipped = [
        {"event": "skipped", "path": "/data/nan.h5", "reason": "slice 2 holds NaN."},
        {"event": "skipped", "path": "/data/leak.h5", "reason": "shows p0, who validates."},
    ]
    write_events(tmp_path / "run", {"event": "start"}, *skipped, {"event": "step", "step": 1, "loss": 1.0})
    run.adopt(tmp_path / "run")
    qtbot.waitUntil(lambda: "2 files of the data are left out" in monitor.sentence.text(), timeout=20_000)
    write_events(tmp_path / "run", {"event": "resume"}, *skipped, {"event": "step", "step": 9, "loss": 1.0})
    qtbot.waitUntil(lambda: run.record.latest["step"] == 9, timeout=20_000)
    assert "2 files of the data" in monitor.sentence.text() and "could not be read" not in monitor.sentence.text()
    assert monitor.sentence.toolTip() == "nan.h5: slice 2 holds NaN.\nleak.h5: shows p0, who validates."
    told = [line for line in caplog.messages if "leaves out" in line]
    assert told == [f"run leaves out {one['path']}: {one['reason']}" for one in skipped]


def test_curves_are_drawn_against_steps_epochs_or_minutes(monitored, qtbot, tmp_path, write_events):
    window, monitor, run = monitored
    write_events(
        tmp_path / "run", {"event": "start", "step": 0, "epoch_steps": 4},
        *({"event": "step", "step": n, "loss": 1 / n, "seconds": 30.0 * n} for n in (2, 4, 6)),
        {"event": "validation", "step": 8, "epoch": 1, "seconds": 240.0, "psnr": 30.0},
    )  # fmt: skip
    run.adopt(tmp_path / "run")
    qtbot.waitUntil(lambda: "run: psnr" in monitor.plots.drawn().get("PSNR, dB", []), timeout=20_000)

    def shown():
        import pyqtgraph

        plots = monitor.plots.findChildren(pyqtgraph.PlotWidget)
        return [plot.listDataItems()[0].getData()[0].tolist() for plot in plots[:2]]

    assert shown() == [[2, 4, 6], [8]]
    QTest.mouseClick(monitor.axis.button(1), Qt.MouseButton.LeftButton)
    assert shown() == [[0.5, 1, 1.5], [2]]
    QTest.mouseClick(monitor.axis.button(2), Qt.MouseButton.LeftButton)
    assert shown() == [[1, 2, 3], [4]]
    assert window.session.settings.training_axis == "minutes"


def test_a_run_of_an_earlier_version_shows_its_epochs_by_its_validations():
    record = Record()
    for step, epoch in ((30, 0), (60, 1)):
        record.take({"event": "validation", "step": step, "epoch": epoch, "psnr": 30.0})
    curves = RunCurves("old", record.curves, epoch_steps=record.epoch_steps)
    assert curves.places(np.array([15.0, 60.0]), "epochs").tolist() == [0.5, 2.0]
    assert np.isnan(curves.places(np.array([15.0]), "minutes")).all()
    assert np.isnan(RunCurves("new", {}).places(np.array([15.0]), "epochs")).all()


def test_previews_can_be_looked_through(monitored, qtbot, tmp_path, child, write_events):
    window, monitor, run = monitored
    for number in (1, 2, 3):
        write_events(tmp_path / "run", {"event": "preview", "step": number, "image": f"{number}.png", "title": "a | b"})
        image = QImage(8 * number, 8, QImage.Format.Format_Grayscale8)
        image.fill(128)
        assert image.save(str(tmp_path / "run" / f"{number}.png"))
    run.adopt(tmp_path / "run")
    picture, slider = monitor.preview.picture, child(monitor, "trainingPreview")
    qtbot.waitUntil(lambda: picture.image.width() == 24, timeout=20_000)
    assert picture.parts == ("a", "b")
    slider.setValue(0)
    qtbot.waitUntil(lambda: picture.image.width() == 8, timeout=20_000)
    assert monitor.preview.caption.text() == "step 1"
    (tmp_path / "run" / "2.png").write_bytes(b"no picture")
    slider.setValue(1)
    qtbot.waitUntil(lambda: "cannot be read" in monitor.preview.caption.text(), timeout=20_000)
    window.training_desk.close()
