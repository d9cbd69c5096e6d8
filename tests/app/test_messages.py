"""What the user is told: counted, waiting, gone in time, and with a button where there is a way out."""

from pathlib import Path
from types import SimpleNamespace

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from app.messages import Message, explain_declined
from recon.data import Study
from recon.errors import DeviceError, SliceError

LEFT = Qt.MouseButton.LeftButton


def test_equal_messages_are_counted_not_stacked(window, child):
    for _ in range(4):
        window.session.say("error", "the same thing")
    assert child(window, "bannerText").text() == "the same thing  (×4)"
    window.session.say("warning", "another")
    assert "another" in child(window, "bannerText").text()
    QTest.mouseClick(child(window, "bannerClose"), LEFT)
    assert "the same thing" in child(window, "bannerText").text()
    QTest.mouseClick(child(window, "bannerClose"), LEFT)
    assert not window.banner.isVisible()


def test_details_open_the_log_with_the_traceback(window, child):
    window.session.say("error", "it broke", "Traceback: line 7")
    QTest.mouseClick(child(window, "bannerDetails"), LEFT)
    assert window.log_view.isVisible()
    assert "Traceback: line 7" in window.log_view.text()


def test_out_of_memory_has_a_button_that_takes_the_cpu(window, engine, qtbot, child, reconstruct):
    window.session.set_request(device="cuda:0")
    engine.error = DeviceError("cuda:0 ran out of memory.", out_of_memory=True)
    reconstruct(window, qtbot)
    action = child(window, "bannerAction")
    assert action.isVisible()
    engine.error = None
    with qtbot.waitSignal(window.session.job_finished, timeout=10_000):
        QTest.mouseClick(action, LEFT)
    assert window.session.result.request.device == "cpu"


def test_a_new_run_takes_the_failure_of_the_last_one_away(window, engine, impossible, qtbot, reconstruct):
    engine.error = impossible
    reconstruct(window, qtbot)
    assert "cannot be done" in window.banner.text
    engine.error = None
    reconstruct(window, qtbot)
    assert window.banner.text == ""


def test_what_waits_behind_a_message_is_told_by_the_pointer(window):
    window.session.say("error", "The first thing is wrong.")
    window.session.say("error", "The second thing is wrong.")
    assert window.banner.text == "The second thing is wrong."
    assert window.banner._more.toolTip() == "The first thing is wrong."


def test_notes_of_a_study_come_with_its_images(window, engine, new_series, qtbot):
    session = window.session
    engine.series["noted.h5"] = new_series(name="noted.h5", notes=("It was made up.",))
    session.open("/nowhere/noted.h5", is_shown=False)
    qtbot.waitUntil(lambda: len(session.studies) == 2, timeout=20_000)
    assert window.banner.text == ""
    session.select(session.studies[1].series[0])
    assert window.banner.text == "noted: It was made up."


def test_news_disappear_and_errors_stay(window, qtbot):
    window.banner._timer.setInterval(20)
    window.session.say("info", "news")
    qtbot.waitUntil(lambda: not window.banner.isVisible())
    window.session.say("error", "bad news")
    qtbot.wait(60)
    assert window.banner.isVisible()


def test_an_exception_in_a_slot_becomes_a_banner(window, monkeypatch, child):
    import sys

    from app.window import install_excepthook

    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    install_excepthook(window.session)
    try:
        raise RuntimeError("nobody caught this")
    except RuntimeError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    assert "nobody caught this" in window.banner.text
    assert child(window, "bannerDetails").isVisible()


def test_notes_of_a_series_of_a_folder_come_with_its_images(window, engine, new_series, qtbot, monkeypatch):
    quiet, noted = new_series(name="quiet.h5"), new_series(name="noted.h5", notes=("It was made up.", "It is odd."))
    monkeypatch.setattr(engine, "open_study", lambda path, _simulation: Study(path, "folder", (quiet, noted)))
    window.session.open("/nowhere/folder")
    qtbot.waitUntil(lambda: window.session.series is quiet)
    assert window.banner.text == ""
    window.session.select(noted)
    assert window.banner.text == "noted: It was made up. It is odd."
    window.banner.dismiss()
    window.session.select(quiet)
    window.session.select(noted)
    assert window.banner.text == ""  # once is enough


def test_a_slice_that_cannot_be_read_says_why_where_its_image_would_be(window, engine, new_series, qtbot, monkeypatch):
    session, read = window.session, engine.preview
    bad = SliceError("/nowhere/bad.h5", 2, "holds NaN.")

    def preview(series, index, request):
        if series.stem == "bad" and index == 2:
            raise bad
        return read(series, index, request)

    monkeypatch.setattr(engine, "preview", preview)
    engine.series["bad.h5"] = new_series(name="bad.h5")
    assert window.level_bar.values.text()
    session.open("/nowhere/bad.h5")
    qtbot.waitUntil(lambda: window.banner.text == "/nowhere/bad.h5: slice 3 holds NaN.", timeout=20_000)
    window.grid_presenter.flush()
    well = window.grid.panel("zero-filled").well
    assert (well.image, well.message) == (None, "Slice 3 holds NaN.")
    assert window.grid.panel("reference").well.message == "Not read"
    assert window.level_bar.values.text() == window.level_bar.matched.text() == ""
    assert not window.status.labels["levels"].isVisible()
    session.say("warning", "Something else.")
    session.select(index=1)
    qtbot.waitUntil(lambda: session.preview is not None, timeout=20_000)
    window.grid_presenter.flush()
    assert well.image is not None
    assert window.level_bar.values.text()
    assert window.banner.text == "Something else."
    window.banner.dismiss()
    assert window.banner.text == ""


def test_a_declined_series_is_named_behind_its_file():
    declined = (
        SimpleNamespace(path=Path("a.dcm"), reason="(“EPI”) is a time series."),
        SimpleNamespace(path=Path("b.txt"), reason="no image."),
    )
    message = explain_declined(SimpleNamespace(path=Path("folder"), declined=declined))
    assert message.text == "Not opened: a.dcm (“EPI”) is a time series. (and 1 more)"
    assert message.details.splitlines()[1] == "b.txt: no image."


def test_a_message_is_data():
    assert Message("info", "text") == Message("info", "text")
