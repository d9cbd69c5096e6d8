"""Statistics over the slices that results share, with real keys and a real mouse in a real window."""

from __future__ import annotations

import csv
import gc
import math
import weakref

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QGuiApplication
from PySide6.QtTest import QTest
from scipy import stats

from app import theme
from app.main_window import MainWindow
from app.presenters.statistics import NO_REFERENCE, ONE_SLICE
from app.session import Session
from app.views import symbols
from app.views.statistics_plot import StatisticsPlot
from app.views.statistics_table import MARK, StatisticsRow, p_text
from app.views.statistics_view import DEPENDENCE, StatisticsView
from recon import phantom, statistics

LEFT, SHIFT = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ShiftModifier
N_SLICES = 8


@pytest.fixture
def offsets(engine, new_series):
    """Give the disc eight slices, whose scores waver, and let each model lie above another by what stands here."""
    engine.series["disc.h5"] = new_series(n_slices=N_SLICES)
    offsets = {"pcrnn-s": 4.0, "cs-tv": 2.0, "zero-filled": 0.0}
    make_scorer, make_run = engine.Scorer, engine.Run
    running = []

    def run(series, request):
        running.append(request.model)
        return make_run(series, request)

    def scorer(series, indices):
        score = make_scorer(series, indices)
        model = running[-1]

        def call(stage):
            scores, index = score(stage), stage.slice_index
            # Not by the same amount everywhere, nor always.
            psnr = 30 + np.sin(3.0 * index) + offsets.get(model, 4.0) * (1 + 0.3 * np.cos(index**2))
            return None if scores is None else {"psnr": psnr, "ssim": psnr / 50, "nmse": 10 ** (-psnr / 20)}

        call.data_range = score.data_range
        return call

    engine.Run, engine.Scorer = run, scorer
    return offsets


@pytest.fixture
def shown(offsets, window):
    """Give the window with its pane in front, as the key brings it there."""
    window._may_close = lambda: True  # a failure must not end in a question
    assert not window.statistics.isVisible()
    window.statistics_desk.toggle()
    assert window.statistics.isVisible()
    return window


@pytest.fixture
def run(shown, qtbot):
    """Reconstruct slices, all unless told otherwise."""

    def run(model="pcrnn-s", slices="volume", **recipe):
        session = shown.session
        assert session.set_request(model=model, **recipe), session.recipe.problem
        qtbot.waitUntil(lambda: not session.problem)
        with qtbot.waitSignal(session.job_finished):
            assert session.reconstruct(slices)
        settle(shown)
        return session.result

    return run


def settle(window):
    for presenter in (window.grid_presenter, window.stage_presenter, window.statistics_desk.presenter):
        presenter.flush()


def rows(window):
    return {row.title: row for row in window.statistics.table.rows}


def cells(window):
    """Texts of the table, by line."""
    table = window.statistics.table
    return [
        [item.text() for column in range(table.columnCount()) if (item := table.item(line, column)) is not None]
        for line in range(table.rowCount())
    ]


def choose_baseline(window, title):
    """Choose with the keys, as a person without a mouse does."""
    combo = window.statistics.baseline
    combo.setFocus()
    for _ in range(combo.count()):
        at, wanted = combo.currentIndex(), combo.findText(title)
        if at == wanted:
            return
        QTest.keyClick(combo, Qt.Key.Key_Down if at < wanted else Qt.Key.Key_Up)
    raise AssertionError(title)


def walsh(differences):
    """Hodges and Lehmann's estimate, by their definition."""
    return np.median([(a + b) / 2 for place, a in enumerate(differences) for b in differences[place:]])


def test_numbers_are_those_of_the_slices_and_of_scipy(qtbot, tmp_path):
    """The real pipeline on a scan of seven slices."""
    spec = phantom.PhantomSpec(n_slices=7, n_coils=2, matrix=(48, 40), fov_mm=(240.0, 200.0))
    session = Session(tmp_path / "settings.json")
    window = MainWindow(session)
    qtbot.addWidget(window)
    window.show()
    session.start()
    session.open(phantom.write(tmp_path / "scan.h5", spec))
    qtbot.waitUntil(lambda: session.preview is not None and bool(session.models), timeout=60_000)
    qtbot.waitUntil(lambda: session.mask is not None, timeout=60_000)
    for model in ("zero-filled", "cg-sense", "cs-tv"):
        assert session.set_request(model=model, acceleration=2, center_fraction=0.2)
        qtbot.waitUntil(lambda: not session.problem, timeout=60_000)
        with qtbot.waitSignal(session.job_finished, timeout=60_000):
            assert session.reconstruct("volume")
    QTest.qWaitForWindowActive(window)
    QTest.keyClick(window, Qt.Key.Key_C, SHIFT)
    assert window.statistics.isVisible()
    for place, metric in enumerate(("psnr", "ssim", "nmse")):
        QTest.mouseClick(window.statistics.score.button(place), LEFT)
        values = [
            np.array([result.slices[index].final.scores[metric] for index in range(7)]) for result in session.results
        ]
        found = window.statistics.table.rows
        assert [row.is_baseline for row in found] == [False, False, True]
        expected = [stats.wilcoxon(value - values[2]).pvalue for value in values[:2]]
        # Holm's correction is not in scipy: of two, the smaller counts twice.
        smaller, larger = sorted(expected)
        holm = {smaller: min(1, 2 * smaller), larger: max(larger, min(1, 2 * smaller))}
        for row, value, p in zip(found, values, [*expected, None], strict=True):
            assert list(row.scores.values()) == value.tolist() and row.shared == tuple(range(7))
            assert row.quartiles == pytest.approx(np.percentile(value, [25, 50, 75]))
            if p is None:
                continue
            difference = value - values[2]
            assert row.comparison.p == pytest.approx(p)
            assert row.p == row.comparison.p_holm == pytest.approx(holm[p])
            assert row.comparison.median_difference == pytest.approx(np.median(difference))
            assert row.shift.estimate == pytest.approx(walsh(difference))
            assert row.shift.low <= row.shift.estimate <= row.shift.high
        line = cells(window)[0]
        decimals = {"psnr": 2, "ssim": 4, "nmse": 4}[metric]
        assert line[1:3] == ["7", f"{np.median(values[0]):.{decimals}f}"]
        assert line[-1] == p_text(holm[expected[0]])
        assert window.statistics.table.horizontalHeaderItem(6).text() == "p (Holm)"
    assert DEPENDENCE in window.statistics._note.text() and "2 comparisons (Holm)" in window.statistics._note.text()
    session.close()


def test_the_key_brings_the_statistics_and_the_scores_again(offsets, window, reconstruct, qtbot):
    reconstruct(window, qtbot)
    window.panes.show("region")
    width = window.scores.width()
    QTest.keyClick(window, Qt.Key.Key_C, SHIFT)
    assert window.statistics.isVisible() and not window.metrics.isVisible()
    qtbot.waitUntil(lambda: window.scores.width() > width)
    QTest.keyClick(window, Qt.Key.Key_C, SHIFT)
    assert window.metrics.isVisible() and not window.statistics.isVisible()
    qtbot.waitUntil(lambda: window.scores.width() == width)


def test_the_sign_turns_with_the_baseline(shown, run):
    run("pcrnn-s"), run("cs-tv")
    assert shown.statistics.baseline.currentText() == "CS-TV, lambda 0.001 (in view)"
    first = rows(shown)["PC-RNN-S"]
    assert rows(shown)["CS-TV, lambda 0.001"].is_baseline and first.shift.low > 0
    assert cells(shown)[0][4].startswith("+") and cells(shown)[1][4] == "baseline"
    # One comparison needs no correction.
    assert first.comparison.p_holm is None and first.p == first.comparison.p == pytest.approx(2 / 2**N_SLICES)
    assert shown.statistics.table.horizontalHeaderItem(6).text() == "p"
    choose_baseline(shown, "PC-RNN-S")
    second = rows(shown)["CS-TV, lambda 0.001"]
    assert rows(shown)["PC-RNN-S"].is_baseline and second.shift.estimate == -first.shift.estimate
    assert (second.shift.low, second.shift.high) == (-first.shift.high, -first.shift.low)
    assert second.p == first.p and cells(shown)[1][4].startswith("−")
    # It stays what was chosen, whatever comes into view; the first entry follows again.
    run("zero-filled")
    assert rows(shown)["PC-RNN-S"].is_baseline
    choose_baseline(shown, "Zero-filled (in view)")
    assert rows(shown)["Zero-filled"].is_baseline


def test_a_click_on_a_point_goes_to_its_slice(shown, run, qtbot):
    run("pcrnn-s"), run("cs-tv")
    QTest.mouseClick(shown.statistics.part.button(1), LEFT)
    plot = shown.statistics.plot
    qtbot.waitUntil(lambda: plot.isVisible() and plot.width() > 200)
    for title, index in (("PC-RNN-S", 2), ("CS-TV, lambda 0.001", 6)):
        QTest.mouseClick(plot, LEFT, pos=plot.position_of(index, rows(shown)[title].scores[index]).toPoint())
        assert shown.session.slice_index == index == plot._slice
    middle = plot.position_of(4, 0.5 * sum(row.scores[4] for row in rows(shown).values()))
    QTest.mouseClick(plot, LEFT, pos=middle.toPoint())
    assert shown.session.slice_index == 6  # between the curves there is nothing
    QTest.keyClick(shown, Qt.Key.Key_Down)
    assert plot._slice == 5


def test_points_are_drawn_where_they_are_clicked_each_result_with_its_own_mark(qtbot):
    plot = StatisticsPlot()
    qtbot.addWidget(plot)
    plot.resize(500, 240)
    scores = [{0: 30.0, 1: 31.0, 2: 30.5, 4: 33.0}, {0: 20.0, 1: 25.0, 2: 22.0}]
    made = [
        StatisticsRow(f"{number}", values, tuple(values), tuple(np.percentile([*values.values()], [25, 50, 75])))
        for number, values in enumerate(scores)
    ]
    plot.set_rows("psnr", made)
    picture = plot.grab().toImage()
    ratio = picture.devicePixelRatio()
    for number, row in enumerate(made):
        for index, score in row.scores.items():
            place = plot.position_of(index, score)
            assert plot.nearest(place) == (number, index)
            pixel = (place * ratio).toPoint()
            assert picture.pixelColor(pixel).name() == QColor(symbols.colour(number)).name()
    # No line leads over the slice that is not there.
    between = plot.position_of(3, 31.75)
    assert picture.pixelColor((between * ratio).toPoint()).name() == theme.colours().base
    shapes = [symbols.symbol(number) for number in range(8)]
    assert all(one != two for place, one in enumerate(shapes) for two in shapes[:place])


def test_what_cannot_be_paired_is_left_out_with_its_reason(shown, run):
    run("pcrnn-s"), run("cs-tv"), run("pcrnn-s", (2,), seed=3), run("cs-tv", (0, 3, 4), seed=3)
    choose_baseline(shown, "#1 PC-RNN-S")
    alone, few = rows(shown)["#3 PC-RNN-S"], rows(shown)["#4 CS-TV, lambda 0.001"]
    assert cells(shown)[2][1:] == ["left out: it has one slice only"] and alone.comparison is None
    assert list(alone.scores) == [2]
    # Three slices have numbers, but no test.
    line = cells(shown)[3]
    assert line[1] == "3" and few.p is None and few.shift.low is None and line[-1] == "n is too small for a test"
    assert line[2] == f"{np.median(list(few.scores.values())):.2f}"
    # What was tested is one, so nothing is corrected.
    assert rows(shown)["#2 CS-TV, lambda 0.001"].comparison.p_holm is None
    choose_baseline(shown, "#4 CS-TV, lambda 0.001")
    assert {len(row.shared) for row in rows(shown).values() if row.quartiles} == {3}
    # A result of one slice is in view: the newest that can be compared stands for it.
    shown.session.show_result(shown.session.results[2])
    settle(shown)
    choose_baseline(shown, "#4 CS-TV, lambda 0.001 (newest)")
    assert rows(shown)["#4 CS-TV, lambda 0.001"].is_baseline


def test_slices_that_are_exact_are_left_out_and_counted(shown, run):
    run("pcrnn-s"), run("cs-tv")
    result = shown.session.results[1]
    for index in (0, 1):
        result.slices[index].final.scores["psnr"] = math.inf
    run("zero-filled")
    choose_baseline(shown, "PC-RNN-S")
    row = rows(shown)["CS-TV, lambda 0.001"]
    assert len(row.shared) == N_SLICES - 2
    assert row.remark == "Left out: 2 slices of infinite PSNR, which are exact."
    for index in result.finished:
        result.slices[index].final.scores["psnr"] = math.inf
    run("cs-tv", seed=9)
    assert "exact" in rows(shown)["#2 CS-TV, lambda 0.001"].reason


def test_results_of_other_data_are_compared_with_a_remark(shown, run):
    run("pcrnn-s"), run("cs-tv"), run("cs-tv", acceleration=8), run("cs-tv", acceleration=4, grid="native")
    choose_baseline(shown, "PC-RNN-S · 4×")
    remarks = [row.remark for row in shown.statistics.table.rows]
    assert remarks[:2] == ["", ""] and "sampling pattern" in remarks[2] and remarks[3].startswith("Another grid ")
    assert [line[0].endswith(MARK) for line in cells(shown)] == [False, False, True, True]
    assert all(row.shift is not None for row in shown.statistics.table.rows[1:])
    assert all(remark in shown.statistics._note.text() for remark in remarks)


def test_scores_are_relative_to_the_signal_of_the_baseline(shown, run):
    whole, part = run("pcrnn-s"), run("cs-tv", (0, 1, 2, 3, 4, 5, 6))
    ratio_db = 20 * np.log10(whole.data_range / part.data_range)
    assert ratio_db > 0.1
    own = [part.slices[index].final.scores["psnr"] for index in part.finished]
    assert list(rows(shown)["CS-TV, lambda 0.001"].scores.values()) == own
    choose_baseline(shown, "PC-RNN-S")
    assert list(rows(shown)["CS-TV, lambda 0.001"].scores.values()) == pytest.approx(np.array(own) + ratio_db)
    QTest.mouseClick(shown.statistics.score.button(1), LEFT)
    assert cells(shown)[1][1:] == ["left out: its SSIM is relative to the signal of other slices"]
    QTest.mouseClick(shown.statistics.score.button(2), LEFT)
    assert rows(shown)["CS-TV, lambda 0.001"].comparison.n == 7


def test_where_there_is_nothing_to_compare_a_sentence_says_why(shown, run, engine, new_series, qtbot):
    session, message = shown.session, shown.statistics.message
    settle(shown)
    assert message().startswith("No result has scores of several slices. Reconstruct the volume (Shift+F5)")
    run("pcrnn-s")
    assert message().startswith("There is one result. Reconstruct the volume (Shift+F5) by two methods")
    run("cs-tv", (3,))
    assert message().startswith("Only one result has scores of several slices.")
    run("cs-tv")
    assert message() == "" and shown.statistics.table.isVisible()
    for name, changes, sentence in (
        ("bare.h5", {"has_reference": False}, NO_REFERENCE), ("flat.h5", {"n_slices": 1}, ONE_SLICE),
    ):  # fmt: skip
        engine.series[name] = new_series(name=name, **changes)
        session.open(f"/nowhere/{name}")
        qtbot.waitUntil(lambda name=name: session.series.stem == name[:-3] and session.preview is not None)
        settle(shown)
        assert message() == sentence and not shown.statistics.table.rows


def test_it_fills_in_while_slices_arrive_and_turning_them_computes_nothing(shown, run, engine, qtbot):
    run("pcrnn-s"), run("zero-filled")
    session, n_filled = shown.session, []
    view = shown.statistics
    engine.gate.clear()
    engine.n_free = 3 * 7 + 2  # three slices of seven stages, and two stages of the next
    assert session.set_request(model="cs-tv")
    qtbot.waitUntil(lambda: not session.problem)
    assert session.reconstruct("volume")
    qtbot.waitUntil(lambda: len(session.results[-1].finished) == 3)
    qtbot.waitUntil(lambda: "CS-TV" in rows(shown) and len(rows(shown)["CS-TV"].shared) == 3)
    shown.statistics_desk.presenter.flush()
    view.table.model().dataChanged.connect(lambda *_: n_filled.append(1))
    for key in (Qt.Key.Key_Home, Qt.Key.Key_Up, Qt.Key.Key_Up):
        QTest.keyClick(shown, key)
    assert session.slice_index == 2 == view.plot._slice
    qtbot.wait(400)  # longer than changes are gathered for
    assert not n_filled
    with qtbot.waitSignal(session.job_finished):
        engine.gate.set()
    settle(shown)
    assert rows(shown)["CS-TV, lambda 0.001"].shared == tuple(range(N_SLICES))


def test_nothing_is_computed_for_a_pane_that_nobody_sees(shown, run):
    shown.statistics_desk.toggle()
    assert not shown.statistics.isVisible()
    run("pcrnn-s"), run("cs-tv")
    assert not shown.statistics.table.rows
    QTest.keyClick(shown, Qt.Key.Key_C, SHIFT)
    assert len(shown.statistics.table.rows) == 2


def test_the_table_is_copied_with_all_its_numbers(shown, run):
    run("pcrnn-s"), run("cs-tv"), run("zero-filled", (5,))
    table = shown.statistics.table
    table.setFocus()
    QTest.keyClick(table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    lines = list(csv.DictReader(QGuiApplication.clipboard().text().splitlines(), delimiter="\t"))
    assert [line["result"] for line in lines] == ["PC-RNN-S", "CS-TV, lambda 0.001", "Zero-filled"]
    first = rows(shown)["PC-RNN-S"]
    assert lines[0]["metric"] == "psnr" and lines[0]["baseline"] == "CS-TV, lambda 0.001"
    assert float(lines[0]["p"]) == pytest.approx(first.p) and int(lines[0]["n"]) == N_SLICES
    assert [float(lines[0][name]) for name in ("ci_low", "hodges_lehmann", "ci_high")] == pytest.approx(
        [first.shift.low, first.shift.estimate, first.shift.high], rel=1e-5
    )
    assert lines[2]["note"] == "left out: it has one slice only" and lines[2]["p"] == ""
    table.copy(",")
    assert list(csv.DictReader(QGuiApplication.clipboard().text().splitlines())) == lines


def test_a_closed_study_takes_its_results_out_of_the_statistics(shown, run):
    gone = [weakref.ref(run(model)) for model in ("pcrnn-s", "cs-tv")]
    assert len(rows(shown)) == 2
    shown.close_current_study()
    settle(shown)
    gc.collect()
    assert [result() for result in gone] == [None, None]


def test_table_and_plot_share_the_room_that_there_is(qtbot):
    view = StatisticsView()
    qtbot.addWidget(view)
    scores = {index: 30.0 + index for index in range(8)}
    test = statistics.compare(scores, dict.fromkeys(scores, 30.25))
    made = [StatisticsRow("PC-RNN-S", scores, tuple(scores), (31.0, 33.5, 36.0), test, statistics.Shift(3.2, 1.1, 5.2))]
    view.resize(500, 180)
    view.show()
    qtbot.waitExposed(view)
    view.set_rows("psnr", made)
    assert view.table.isVisible() and not view.plot.isVisible() and not view.table.isColumnHidden(2)
    QTest.mouseClick(view.part.button(1), LEFT)
    # The names stay: with their marks they are the legend.
    assert view.plot.isVisible() and view.table.isColumnHidden(2) and not view.table.isColumnHidden(0)
    view.resize(500, 500)
    qtbot.waitUntil(lambda: view.plot.y() > view.table.y())
    assert not view.part.isVisible() and not view.table.isColumnHidden(2)
    view.resize(1100, 180)
    qtbot.waitUntil(lambda: view.plot.isVisible() and view.plot.x() > view.table.x() and not view.part.isVisible())
    assert view.table.horizontalScrollBar().maximum() == 0
