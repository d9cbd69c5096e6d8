"""Reconstructions that wait for another: in order, each once, and without taking anything out of view."""

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QMessageBox, QPushButton

from app.queue import Queue, Waiting
from recon.errors import DeviceError
from recon.masks import MaskSpec
from recon.request import Request

SHIFT = Qt.KeyboardModifier.ShiftModifier


def texts(session, level=None):
    return [message.text for message in session.seen if level in (None, message.level)]


def methods(session):
    return [result.request.model for result in session.results]


@pytest.fixture
def ended(opened):
    """Give the list of how the runs end, in order."""
    states = []
    opened.job_finished.connect(states.append)
    return states


@pytest.fixture
def ask(opened):
    """Give the function that asks for the slice in view by a method."""

    def ask(model, *slices):
        opened.set_request(model=model)
        return opened.reconstruct(*slices)

    return ask


@pytest.fixture
def let_go(opened, engine, qtbot):
    """Give the function that lets everything run that waits."""

    def let_go():
        engine.gate.set()
        qtbot.waitUntil(lambda: not opened.is_running, timeout=20_000)

    return let_go


@pytest.fixture
def other(opened, engine, new_series, qtbot):
    """Give a series of another study, which is open but not in view."""
    engine.series["other.h5"] = new_series(name="other.h5")
    opened.open("/nowhere/other.h5", is_shown=False)
    qtbot.waitUntil(lambda: len(opened.studies) == 2)
    return opened.studies[1].series[0]


# ---------------------------------------------------------------- the queue alone


def test_a_queue_keeps_the_order_and_tells_of_changes(qtbot, new_series):
    queue, heard = Queue(), []
    queue.changed.connect(lambda: heard.append(len(queue.waiting)))
    first, second = (Waiting(new_series(), Request(slices=(0,))) for _ in range(2))
    assert queue.add(first) and queue.add(second) and not queue.add(Waiting(first.series, Request(slices=(0,))))
    assert queue.forget([second.series]) == (second,)
    assert queue.forget([second.series]) == ()
    assert queue.take() is first
    assert queue.take() is None
    assert queue.clear() == 0
    assert heard == [1, 2, 1, 0]


def test_what_waits_is_named_by_method_scan_slices_and_pattern(new_series):
    series = new_series()
    request = Request("cs-tv", MaskSpec("random", 4), (2,), overrides={"lambda_": 0.02})
    assert Waiting(series, request).name == "cs-tv on disc, slice 3"
    assert Waiting(series, request).line == "cs-tv, lambda 0.02 · disc, slice 3 · Random lines 4×"
    assert [Waiting(series, Request(slices=slices)).slices for slices in ((0, 1, 2, 3, 4), (0, 3), None)] == [
        "all 5 slices", "2 of 5 slices", "all 5 slices",
    ]  # fmt: skip


# ---------------------------------------------------------------- order


def test_what_was_asked_for_runs_in_order_one_at_a_time(opened, engine, ended, ask, let_go):
    engine.gate.clear()
    assert ask("pcrnn-s") and ask("cs-tv") and ask("zero-filled", "volume")
    assert [item.request.model for item in opened.queue.waiting] == ["cs-tv", "zero-filled"]
    assert opened.problem == ""
    assert opened.runner.result.request.model == "pcrnn-s"
    running, run = [], engine.Run
    engine.Run = lambda *asked: running.append(engine.n_closed) or run(*asked)
    let_go()
    assert methods(opened) == ["pcrnn-s", "cs-tv", "zero-filled"]
    assert ended == ["done"] * 3
    assert running == [1, 2]  # the one before had ended
    assert [result.number for result in opened.results] == [1, 2, 3]
    assert opened.seen == []


def test_a_request_is_what_it_was_when_it_was_made(opened, engine, other, ask, let_go):
    engine.gate.clear()
    ask("pcrnn-s")
    opened.set_request(kind="random", acceleration=6, seed=3)
    ask("cs-tv")
    opened.set_request(acceleration=8)
    opened.select(index=4)
    opened.select(other)
    opened.set_request(model="zero-filled")
    let_go()
    waited = opened.results[1]
    assert waited.series.stem == "disc"
    assert (waited.request.model, waited.request.slices) == ("cs-tv", (2,))
    assert waited.request.mask == MaskSpec("random", 6, seed=3)


def test_equal_requests_wait_once(opened, engine, ask, let_go):
    engine.gate.clear()
    assert ask("pcrnn-s")
    assert not ask("pcrnn-s")
    assert ask("cs-tv")
    assert not ask("cs-tv")
    assert texts(opened, "info") == [
        "PC-RNN-S on disc, slice 3, runs already.",
        "CS-TV on disc, slice 3, waits already.",
    ]
    opened.set_request(acceleration=8)
    assert opened.reconstruct()
    let_go()
    assert methods(opened) == ["pcrnn-s", "cs-tv", "cs-tv"]


def test_impossible_requests_do_not_wait(opened, engine, ask, let_go):
    engine.gate.clear()
    ask("pcrnn-s")
    assert not ask("oucr")
    assert texts(opened, "warning") == ["OUCR has no weights yet."]
    assert not opened.queue.waiting
    let_go()


# ---------------------------------------------------------------- ends


def test_cancel_ends_one_and_the_next_starts(opened, engine, ended, ask, let_go):
    engine.gate.clear()
    ask("pcrnn-s")
    ask("cs-tv")
    opened.cancel()
    # Who cancels a run and asks for it again means it.
    assert ask("pcrnn-s")
    let_go()
    assert ended == ["partial", "done", "done"]
    assert methods(opened) == ["cs-tv", "pcrnn-s"]
    assert texts(opened) == ["Cancelled."]


def test_cancel_all_empties_the_queue(opened, engine, ended, ask, let_go):
    engine.gate.clear()
    ask("pcrnn-s")
    ask("cs-tv")
    ask("zero-filled")
    opened.cancel_all()
    assert not opened.queue.waiting
    let_go()
    assert ended == ["partial"]
    assert methods(opened) == []
    assert texts(opened) == ["Cancelled, with 2 that waited."]
    assert ask("cs-tv")
    let_go()
    opened.cancel_all()  # with nothing to cancel
    assert ended == ["partial", "done"]


def test_a_failure_in_the_middle_is_named_and_the_next_starts(opened, engine, ended, ask, qtbot, let_go, impossible):
    engine.gate.clear()
    ask("cs-tv")
    ask("pcrnn-s")
    ask("zero-filled")
    engine.error = impossible  # only networks meet it
    let_go()
    assert ended == ["done", "failed", "done"]
    assert methods(opened) == ["cs-tv", "zero-filled"]
    assert texts(opened) == [f"PC-RNN-S on disc, slice 3: T{str(impossible)[1:]}"]


def test_a_run_that_cannot_even_start_holds_nothing_up(opened, engine, ended, ask, let_go):
    engine.gate.clear()
    ask("pcrnn-s")
    ask("cs-tv")
    ask("zero-filled")
    run = engine.Run

    def fail(series, request):
        if request.model == "cs-tv":
            raise ValueError("odd")
        return run(series, request)

    engine.Run = fail
    let_go()
    assert methods(opened) == ["pcrnn-s", "zero-filled"]
    assert "CS-TV on disc, slice 3: " in texts(opened, "error")[0] and "Traceback" in opened.seen[0].details


def test_out_of_memory_offers_the_cpu_for_what_failed_whatever_the_recipe_is_now(opened, engine, ended, ask, let_go):
    engine.gate.clear()
    opened.set_request(device="cuda:0")
    ask("cs-tv")
    ask("pcrnn-s")
    ask("zero-filled")
    opened.set_request(device="cpu")
    opened.select(index=4)
    engine.error = DeviceError("cuda:0 ran out of memory.", out_of_memory=True)
    let_go()
    assert ended == ["done", "failed", "done"]
    (message,) = opened.seen
    assert (message.action, message.target) == ("use-cpu", "2")
    engine.error = None
    opened.use_cpu(message.target)
    let_go()
    again = opened.results[-1].request
    assert (again.model, again.slices, again.device) == ("pcrnn-s", (2,), "cpu")
    opened.use_cpu(message.target)  # once is enough
    assert not opened.is_running


def test_what_is_repeated_on_the_cpu_does_not_come_into_the_view_of_another_scan(opened, engine, other, ask, let_go):
    opened.set_request(device="cuda:0")
    engine.error = DeviceError("cuda:0 ran out of memory.", out_of_memory=True)
    ask("pcrnn-s")
    let_go()
    engine.error = None
    opened.select(other)
    opened.use_cpu()
    let_go()
    assert methods(opened) == ["pcrnn-s"] and opened.result is None


# ---------------------------------------------------------------- studies that go


def test_a_closed_study_waits_no_more(opened, engine, other, ended, ask, let_go):
    engine.gate.clear()
    ask("pcrnn-s")
    opened.select(other)
    ask("cs-tv")
    ask("cs-tv", "volume")
    opened.select(opened.studies[0].series[0])
    ask("zero-filled")
    opened.close_study(opened.studies[1])
    assert [item.series.stem for item in opened.queue.waiting] == ["disc"]
    assert texts(opened, "warning") == ["2 reconstructions of other no longer wait: the study was closed."]
    let_go()
    assert ended == ["done", "done"]
    assert methods(opened) == ["pcrnn-s", "zero-filled"]


def test_closing_the_study_that_runs_goes_on_with_the_others(opened, engine, other, ended, ask, let_go):
    engine.gate.clear()
    ask("pcrnn-s")
    ask("zero-filled")
    opened.select(other)
    ask("cs-tv")
    opened.close_study(opened.studies[0])
    let_go()
    assert ended == ["partial", "done"]
    assert methods(opened) == ["cs-tv"]
    assert opened.result is opened.results[0]


def test_a_study_that_is_read_again_waits_no_more(opened, engine, new_series, ended, ask, qtbot, let_go):
    engine.gate.clear()
    ask("pcrnn-s")
    ask("cs-tv")
    engine.series["disc.h5"] = fresh = new_series()
    opened.open("/nowhere/disc.h5")
    qtbot.waitUntil(lambda: opened.series is fresh)
    assert not opened.queue.waiting
    assert texts(opened, "warning") == ["CS-TV on disc, slice 3, no longer waits: the study was read again."]
    let_go()
    assert ended == ["partial"]
    assert opened.results == []


def test_closing_the_session_starts_nothing_more(qapp, engine, opened, ask, ended, qtbot):
    engine.gate.clear()
    ask("pcrnn-s")
    ask("cs-tv")
    engine.gate.set()
    opened.close()
    qtbot.waitUntil(lambda: not opened.is_running)
    assert len(ended) == 1 and not opened.queue.waiting


# ---------------------------------------------------------------- what is in view


def test_the_next_comes_into_view_where_its_slice_is_looked_at(opened, engine, ask, let_go):
    engine.gate.clear()
    ask("pcrnn-s")
    ask("cs-tv")
    ask("zero-filled", "volume")
    let_go()
    assert opened.result.request.model == "zero-filled"
    # The view goes along with a volume that was just asked for, not with one that waited.
    assert opened.slice_index == 2


def test_a_result_of_another_series_does_not_steal_the_view(opened, engine, other, ask, let_go):
    engine.gate.clear()
    ask("pcrnn-s")
    ask("cs-tv", "volume")
    opened.select(other, 1)
    let_go()
    assert (opened.series, opened.slice_index, opened.result) == (other, 1, None)
    opened.select(opened.studies[0].series[0])
    assert opened.result is opened.results[-1]


def test_who_looks_at_another_slice_or_an_older_result_keeps_it(opened, engine, ask, let_go):
    ask("zero-filled")
    let_go()
    older = opened.result
    engine.gate.clear()
    ask("pcrnn-s")
    ask("cs-tv")
    opened.show_result(older)
    let_go()
    assert opened.result is older
    engine.gate.clear()
    opened.show_result(opened.results[-1])
    ask("pcrnn-s")
    ask("zero-filled")
    opened.select(index=4)
    let_go()
    assert (opened.slice_index, opened.result.request.model) == (4, "pcrnn-s")


def test_who_goes_through_the_stages_is_not_interrupted(opened, engine, ask, qtbot, let_go):
    engine.gate.clear()
    engine.n_free = 3
    ask("pcrnn-s")
    ask("cs-tv")
    qtbot.waitUntil(lambda: opened.slice_result is not None and len(opened.slice_result.steps) == 3)
    opened.set_position(1)
    let_go()
    assert opened.step.title == "4x · 1"
    assert methods(opened) == ["pcrnn-s", "cs-tv"]


def test_the_oldest_go_but_the_one_in_view_stays(opened, engine, ask, let_go):
    opened.change_settings(n_results=2)
    ask("zero-filled")
    let_go()
    older = opened.result
    engine.gate.clear()
    ask("zero-filled")
    ask("pcrnn-s")
    ask("cs-tv")
    opened.show_result(older)
    let_go()
    assert opened.result is older
    assert [result.number for result in opened.results] == [1, 4]


# ---------------------------------------------------------------- the window


def choose(window, child, model):
    """Choose a model with the keys."""
    combo = child(window, "modelChoice")
    combo.setFocus()
    wanted = combo.findData(model)
    while combo.currentIndex() != wanted:
        QTest.keyClick(combo, Qt.Key.Key_Down if combo.currentIndex() < wanted else Qt.Key.Key_Up)


def is_whole(widget):
    return widget.width() >= widget.sizeHint().width()


def test_methods_are_queued_with_the_keys_and_arrive_in_order(window, engine, qtbot, child):
    session = window.session
    start, volume, waiting = (child(window, name) for name in ("reconstructButton", "volumeButton", "waitingCount"))
    assert (start.text(), volume.text(), waiting.isVisible()) == ("Reconstruct slice", "Volume", False)
    engine.gate.clear()
    engine.n_free = 2
    choose(window, child, "pcrnn-s")
    QTest.keyClick(window, Qt.Key.Key_F5)
    choose(window, child, "cs-tv")
    assert start.isEnabled() and volume.isEnabled()
    assert (start.text(), volume.text()) == ("Queue slice", "Queue volume")
    QTest.keyClick(window, Qt.Key.Key_F5)
    choose(window, child, "zero-filled")
    QTest.keyClick(window, Qt.Key.Key_F5, SHIFT)
    assert waiting.isVisible() and waiting.text() == "2 waiting"
    lines = waiting.toolTip().splitlines()
    assert [line.split(" · ")[:2] for line in lines] == [
        ["1. CS-TV", "disc, slice 3"], ["2. Zero-filled", "disc, all 5 slices"],
    ]  # fmt: skip
    assert "2 waiting" in window.status.labels["job"].text()
    session.progress_changed.emit(1.0, 3599.0)  # the longest words
    QApplication.processEvents()
    assert window.recipe.minimumSizeHint().width() <= window.recipe.width()
    assert all(
        is_whole(label)
        for label in window.recipe.findChildren(QLabel)
        if label.isVisible() and label.text() and not label.wordWrap()
    )
    assert all(is_whole(button) for button in window.recipe.findChildren(QPushButton) if button.isVisible())
    with qtbot.waitSignals([session.job_finished] * 3, timeout=20_000):
        engine.gate.set()
    assert [result.model_title for result in session.results] == ["PC-RNN-S", "CS-TV", "Zero-filled"]
    assert (start.text(), volume.text(), waiting.isVisible()) == ("Reconstruct slice", "Volume", False)
    assert child(window, "eta").text().startswith("5 slices in ")


def test_keys_cancel_one_or_all(window, engine, ended, qtbot, child):
    session, all_of_them = window.session, window.commands.by_name["cancelAll"]
    engine.gate.clear()
    QTest.keyClick(window, Qt.Key.Key_F5)
    assert not all_of_them.isEnabled()
    for model in ("cs-tv", "zero-filled"):
        session.set_request(model=model)
        QTest.keyClick(window, Qt.Key.Key_F5)
    assert all_of_them.isEnabled()
    child(window, "cancelButton").setFocus()
    QTest.keyClick(window, Qt.Key.Key_Escape)
    engine.n_free = 1
    engine.gate.set()
    qtbot.waitUntil(lambda: len(ended) == 1)
    engine.gate.clear()
    assert ended == ["partial"] and session.is_running
    # Whoever cancels one after the other with the key of the button must not start new ones by it.
    assert child(window, "cancelButton").hasFocus()
    engine.gate.set()
    qtbot.waitUntil(lambda: len(ended) == 3)

    engine.gate.clear()
    for model in ("pcrnn-s", "cs-tv"):
        session.set_request(model=model)
        QTest.keyClick(window, Qt.Key.Key_F5)
    QTest.keyClick(window, Qt.Key.Key_Escape, SHIFT)
    assert not all_of_them.isEnabled()
    engine.gate.set()
    qtbot.waitUntil(lambda: not session.is_running)
    assert ended[3:] == ["partial"]
    assert window.banner.text == "Cancelled, with 1 that waited."


def test_a_failure_is_still_said_while_the_next_one_runs(window, engine, impossible, qtbot, ended):
    session = window.session
    engine.gate.clear()
    engine.error = impossible
    for model in ("pcrnn-s", "cs-tv"):
        session.set_request(model=model)
        QTest.keyClick(window, Qt.Key.Key_F5)
    engine.gate.set()
    qtbot.waitUntil(lambda: len(ended) == 2)
    assert window.banner.text.startswith("PC-RNN-S on disc, slice 3: ")
    QTest.keyClick(window, Qt.Key.Key_F5)
    assert window.banner.text == ""
    qtbot.waitUntil(lambda: not session.is_running)


@pytest.mark.parametrize(
    ("n_waiting", "words"), [(0, ". Stop it"), (1, " and 1 more waits. Stop them"), (2, " and 2 more wait. Stop them")]
)
def test_closing_the_window_asks_and_counts_what_waits(window, engine, monkeypatch, qtbot, n_waiting, words):
    asked, session = [], window.session

    def answer(_window, _title, text):
        asked.append(text)
        return QMessageBox.StandardButton.Yes

    monkeypatch.setattr(QMessageBox, "question", answer)
    engine.gate.clear()
    for model in ("pcrnn-s", "cs-tv", "zero-filled")[: 1 + n_waiting]:
        session.set_request(model=model)
        session.reconstruct()
    engine.gate.set()
    window.close()
    assert asked == [f"A reconstruction is running{words} and quit?"]
    qtbot.waitUntil(lambda: not session.is_running)
    assert len(session.results) <= 1


def test_the_command_is_where_it_is_looked_for(window):
    menu = next(action.menu() for action in window.menuBar().actions() if action.text() == "Reconstruct")
    texts = [action.text() for action in menu.actions()]
    assert texts[texts.index("Cancel") + 1] == "Cancel all"
