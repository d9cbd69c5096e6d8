"""Sending from the window: the session alone, the dialog with mouse and keys, and a PACS that answers or does not."""

import logging
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMessageBox

from app.dialogs.send import SendDialog
from app.sending import Outcome, message_of
from app.session import Session
from recon.export.pacs import Destination, Report

HOST = "127.0.0.1"


@pytest.fixture
def finished(opened, qtbot, write_instances):
    """Give the session with a result whose DICOM export is three small images."""
    with qtbot.waitSignal(opened.job_finished, timeout=30_000):
        assert opened.reconstruct("volume")
    give_files(opened, write_instances)
    return opened


def give_files(session, write_instances, n=3):
    session.saved_to = []

    def save(folder, formats, **_):
        assert formats == ["dicom"]
        session.saved_to.append(Path(folder))
        return write_instances(Path(folder) / "disc.pcrnn.dcm", n)

    session.result.reconstruction.save = save


def send(session, qtbot, where, **options):
    with qtbot.waitSignal(session.sending.ended, timeout=30_000) as blocker:
        assert session.send(where, is_confirmed=True, **options)
        assert session.sending.is_running
    assert not session.sending.is_running
    return blocker.args[0]


def last(session):
    return session.seen[-1].level, session.seen[-1].text


# ---- the session alone ------------------------------------------------------------------------------------------


def test_a_result_is_sent_and_said(finished, qtbot, start_pacs):
    server = start_pacs()
    steps = []
    finished.sending.progressed.connect(lambda *step: steps.append(step[:2]))
    outcome = send(finished, qtbot, server.destination, calling="ME")
    assert [report.sop_instance_uid for report in outcome.reports] == list(server.received)
    assert server.callers == ["ME"]
    assert last(finished) == ("success", f"Sent to {server.destination}: 3 images stored.")
    assert steps[-1] == (3, 3)
    assert not finished.saved_to[0].exists()
    assert finished.settings.pacs_destinations == (server.destination,)
    assert finished.settings.pacs_confirmed == (HOST,)
    assert finished.settings.pacs_calling == "ME"


def test_a_host_has_to_be_confirmed_once_by_name(finished, qtbot, start_pacs, tmp_path, engine):
    server = start_pacs()
    assert not finished.send(server.destination)
    assert last(finished)[0] == "warning"
    assert "127.0.0.1 was never confirmed" in last(finished)[1]
    assert (server.received, server.callers) == ({}, [])
    send(finished, qtbot, server.destination)
    again = Session(tmp_path / "config" / "settings.json", engine)
    assert again.sending.is_confirmed(HOST)
    assert [str(one) for one in again.sending.destinations] == [server.destination]
    again.close()
    with qtbot.waitSignal(finished.sending.ended, timeout=30_000):
        assert finished.send(server.destination)
    assert len(server.received) == 6


def test_what_is_refused_is_one_message_with_the_reason(finished, qtbot, start_pacs):
    server = start_pacs(lambda number, _: {1: 0xA700, 2: 0xB000}.get(number, 0))
    send(finished, qtbot, server.destination)
    level, text = last(finished)
    assert level == "error"
    assert text.startswith(f"1 of 3 images was not stored at {server.destination}: refused (0xA700): it is out of")
    assert finished.seen[-1].details.splitlines() == [
        "image_001.dcm: refused (0xA700): it is out of resources, such as room on its disk",
        "image_002.dcm: stored with a warning (0xB000): it changed elements of the data set",
    ]


def test_a_pacs_that_is_down_is_one_message(finished, qtbot, no_pacs):
    assert send(finished, qtbot, no_pacs) is None
    level, text = last(finished)
    assert level == "error"
    assert "nothing listens" in text


@pytest.mark.parametrize("down", ["no_pacs", "silent_pacs"])
def test_a_pacs_that_never_answered_is_not_remembered_but_its_host_is_confirmed(finished, qtbot, request, down):
    with qtbot.waitSignal(finished.sending.ended, timeout=30_000):
        assert finished.send(request.getfixturevalue(down), is_confirmed=True, calling="ME")
        qtbot.waitUntil(lambda: bool(finished.saved_to), timeout=10_000)
        if down == "silent_pacs":
            finished.sending.cancel()
    assert finished.settings.pacs_destinations == ()
    assert finished.settings.pacs_calling == "MRIWS"
    assert finished.settings.pacs_confirmed == (HOST,)


def test_a_pacs_that_refused_everything_is_remembered(finished, qtbot, start_pacs):
    server = start_pacs(lambda *_: 0xA700)
    send(finished, qtbot, server.destination)
    assert finished.settings.pacs_destinations == (server.destination,)


def test_no_host_gets_into_the_log(finished, qtbot, start_pacs, no_pacs, caplog):
    caplog.set_level(logging.DEBUG, "app")
    answers = iter([0xA700, 0, 0, 0, 0, 0])
    server = start_pacs(lambda *_: next(answers))
    assert not finished.send(server.destination)
    assert not finished.send(f"PACS@{HOST}/there:104")
    for where in (server.destination, server.destination, no_pacs):
        send(finished, qtbot, where)
    assert HOST in "".join(message.text for message in finished.seen)
    assert HOST not in caplog.text
    for words in (
        "the host was never confirmed",
        "address or AE title is impossible",
        "Sending to PACS …",
        "PACS: 2 of 3 images stored",
        "PACS: 3 of 3 images stored",
        "Sending failed: the PACS cannot be reached",
    ):
        assert words in caplog.text


def test_nothing_is_sent_without_a_result_or_to_nowhere(opened, finished, qtbot, start_pacs):
    for where, word in (("nowhere", "AET@HOST:PORT"), ("A@b:0", "port")):
        assert not finished.send(where, is_confirmed=True)
        assert word in last(finished)[1]
    assert not finished.send("PACS@host:104", calling="A\\B", is_confirmed=True)
    assert "AE title" in last(finished)[1]
    finished.close_study(finished.studies[0])
    assert not finished.send("PACS@host:104", is_confirmed=True)
    assert last(finished) == ("warning", "There is no finished result to send; reconstruct a slice first.")
    assert finished.settings.pacs_confirmed == ()


def test_one_result_is_sent_at_a_time_and_a_cancel_keeps_what_is_stored(finished, qtbot, start_pacs):
    second, end = threading.Event(), threading.Event()

    def answer(number, _):
        if number == 2:
            second.set()
            end.wait(60)
        return 0

    server = start_pacs(answer)
    try:
        with qtbot.waitSignal(finished.sending.ended, timeout=30_000):
            assert finished.send(server.destination, is_confirmed=True)
            assert second.wait(30)
            assert not finished.send(server.destination)
            assert "already" in last(finished)[1]
            finished.sending.cancel()
    finally:
        end.set()
    assert last(finished) == ("info", f"Cancelled. 1 of 3 images was stored at {server.destination}.")


def test_closing_the_session_does_not_wait_for_a_silent_pacs(finished, qtbot, silent_pacs):
    destination = Destination.from_text(silent_pacs)
    finished.sending.verify(destination, "ME")
    assert finished.send(destination, is_confirmed=True)
    qtbot.waitUntil(lambda: bool(finished.saved_to), timeout=10_000)
    start = time.monotonic()
    finished.close()
    assert time.monotonic() - start < 5


def test_closing_the_session_does_not_wait_for_a_name_to_be_found(finished, qtbot, slow_names):
    where, asked = slow_names
    finished.sending.verify(Destination.from_text(where), "ME")
    assert finished.send(where, is_confirmed=True)
    qtbot.waitUntil(lambda: len(asked) == 2, timeout=10_000)
    start = time.monotonic()
    finished.close()
    assert time.monotonic() - start < 5


def test_verify_says_whether_a_pacs_answers(session, qtbot, start_pacs, no_pacs):
    server = start_pacs()
    for where, said in ((server.destination, ""), (no_pacs, "nothing listens")):
        with qtbot.waitSignal(session.sending.verified, timeout=30_000) as blocker:
            session.sending.verify(Destination.from_text(where), "ME")
        destination, problem = blocker.args
        assert str(destination) == where
        assert said in problem and bool(said) == bool(problem)
    assert session.settings.pacs_destinations == (server.destination,)
    assert session.settings.pacs_confirmed == ()


def test_destinations_that_make_no_sense_any_more_are_left_out(session):
    session.change_settings(pacs_destinations=("nonsense", "PACS@host:104"))
    assert [str(one) for one in session.sending.destinations] == ["PACS@host:104"]


@pytest.mark.parametrize(
    ("states", "n_images", "level", "words"),
    [
        (["stored"], 1, "success", "1 image stored"),
        (["stored", "stored with a warning"], 2, "warning", "2 images stored, 1 with a warning"),
        (["stored", "not sent", "refused"], 3, "error", "2 of 3 images were not stored"),
        (["stored"], 3, "info", "Cancelled. 1 of 3 images"),
    ],
)
def test_the_message_says_what_became_of_the_images(states, n_images, level, words):
    reports = tuple(Report(Path("a.dcm"), "1.2", state, comment=state) for state in states)
    message = message_of(Outcome(Destination("PACS", "host", 104), reports, n_images))
    assert message.level == level
    assert words in message.text
    assert len(message.details.splitlines()) == sum(state != "stored" for state in states)


# ---- the window -------------------------------------------------------------------------------------------------


@pytest.fixture
def asking(window, qtbot, reconstruct, write_instances, monkeypatch):
    """Give the function that opens the dialog by its shortcut on a window with a result."""
    # A test that fails in the middle closes a window that would ask.
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)
    action = window.commands.by_name["send"]
    assert not action.isEnabled()
    reconstruct(window, qtbot)
    give_files(window.session, write_instances, n=1)
    assert action.isEnabled()

    def ask():
        window.activateWindow()
        qtbot.waitUntil(window.isActiveWindow, timeout=5000)
        QTest.keyClick(window, Qt.Key.Key_E, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
        QApplication.processEvents()
        dialog = QApplication.activeModalWidget()
        assert isinstance(dialog, SendDialog)
        return dialog

    return ask


def fill(dialog, child, where):
    destination = Destination.from_text(where)
    for name, text in (("sendAETitle", destination.ae_title), ("sendHost", destination.host)):
        edit = child(dialog, name)
        edit.setFocus()
        edit.selectAll()
        QTest.keyClicks(edit, text)
    port = child(dialog, "sendPort")
    port.setFocus()
    port.selectAll()
    QTest.keyClicks(port, str(destination.port))
    return destination


def test_an_unknown_host_needs_a_tick_and_then_the_images_go(window, asking, qtbot, child, click, start_pacs):
    server = start_pacs()
    dialog = asking()
    button, tick, problem = (child(dialog, name) for name in ("sendButton", "sendConfirm", "sendProblem"))
    assert not button.isEnabled() and not tick.isVisible()
    assert problem.text() == "Give the AE title of the PACS."
    fill(dialog, child, server.destination)
    assert (tick.isVisible(), tick.text(), button.isEnabled()) == (True, f"Send to {HOST}", False)
    assert "tick" in problem.text()
    QTest.keyClick(child(dialog, "sendHost"), Qt.Key.Key_Return)
    assert dialog.isVisible() and not server.callers
    click(tick, tick.rect().center() / 4)
    assert (tick.isChecked(), button.isEnabled(), problem.text()) == (True, True, "")
    QTest.keyClicks(child(dialog, "sendHost"), "0")  # another host needs another tick
    assert not tick.isChecked() and not button.isEnabled()
    QTest.keyClick(child(dialog, "sendHost"), Qt.Key.Key_Backspace)
    click(tick, tick.rect().center() / 4)
    with qtbot.waitSignal(window.session.sending.ended, timeout=30_000):
        click(button)
    assert len(server.received) == 1
    assert window.banner.text == f"Sent to {server.destination}: 1 image stored."
    dialog = asking()
    assert child(dialog, "sendKnown").currentText() == server.destination
    assert child(dialog, "sendHost").text() == HOST
    assert not child(dialog, "sendConfirm").isVisible()
    with qtbot.waitSignal(window.session.sending.ended, timeout=30_000):
        QTest.keyClick(dialog, Qt.Key.Key_Return)
    assert len(server.received) == 2


def test_verify_answers_in_the_dialog(window, asking, qtbot, child, click, start_pacs, no_pacs):
    server = start_pacs()
    dialog = asking()
    button, answer = child(dialog, "sendVerify"), child(dialog, "sendAnswer")
    assert not button.isEnabled()
    for where, said in ((server.destination, "answers."), (no_pacs, "nothing listens")):
        fill(dialog, child, where)
        assert answer.text() == ""
        with qtbot.waitSignal(window.session.sending.verified, timeout=30_000):
            click(button)
            assert (answer.text(), button.isEnabled()) == (f"Asking {where} …", False)
        assert said in answer.text()
        assert button.isEnabled()
    assert server.received == {}
    QTest.keyClick(dialog, Qt.Key.Key_Escape)


def test_an_answer_with_a_long_host_is_not_cut(qtbot, child, new_series):
    result = SimpleNamespace(title="CS-TV", finished=(0,), series=new_series(name=10 * "long name "))
    where = Destination("ARCHIVE_MAIN_01", "pacs-archive-01.radiology.university-hospital.example.org", 104)
    dialog = SendDialog([result], result, [where], lambda _: True, "MRIWS")
    qtbot.addWidget(dialog)
    dialog.show()
    answer, note = child(dialog, "sendAnswer"), child(dialog, "sendNote")
    short = answer.height()
    click = child(dialog, "sendVerify").click
    click()
    dialog.show_answer(where, f"{where}: there is no computer called {where.host}; check the name, or give an address.")
    QApplication.processEvents()
    assert answer.heightForWidth(answer.width()) > short
    assert answer.height() >= answer.heightForWidth(answer.width())
    assert answer.geometry().bottom() < note.geometry().top()
    click()
    dialog.show_answer(where, "")
    assert answer.text() == f"{where} answers."


def test_an_answer_about_another_destination_is_not_shown(window, asking, qtbot, child, click, start_pacs):
    dialog = asking()
    fill(dialog, child, start_pacs().destination)
    with qtbot.waitSignal(window.session.sending.verified, timeout=30_000):
        click(child(dialog, "sendVerify"))
        QTest.keyClicks(child(dialog, "sendAETitle"), "X")
    assert child(dialog, "sendAnswer").text() == ""
    QTest.keyClick(dialog, Qt.Key.Key_Escape)


def test_an_answer_that_comes_after_the_dialog_is_gone_is_no_harm(window, asking, qtbot, child, click, start_pacs):
    dialog = asking()
    fill(dialog, child, start_pacs().destination)
    with qtbot.waitSignal(window.session.sending.verified, timeout=30_000):
        click(child(dialog, "sendVerify"))
        QTest.keyClick(dialog, Qt.Key.Key_Escape)
        QApplication.processEvents()


def test_the_window_lives_while_a_pacs_is_silent_and_the_cross_stops_it(
    window, asking, qtbot, child, click, silent_pacs
):
    dialog = asking()
    fill(dialog, child, silent_pacs)
    tick, bar = child(dialog, "sendConfirm"), child(window, "sendBar")
    assert not bar.isVisible()
    click(tick, tick.rect().center() / 4)
    click(child(dialog, "sendButton"))
    qtbot.waitUntil(lambda: bar.isVisible() and "0/1" in child(window, "sendText").text(), timeout=10_000)
    window.resize(960, 540)
    text = child(window, "sendText")
    qtbot.waitUntil(lambda: text.width() >= text.sizeHint().width(), timeout=5000)
    assert silent_pacs in bar.toolTip()
    assert not window.commands.by_name["send"].isEnabled()
    before = window.session.slice_index
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow, timeout=5000)
    start = time.monotonic()
    QTest.keyClick(window, Qt.Key.Key_Up)
    qtbot.waitUntil(lambda: window.session.slice_index == before + 1, timeout=5000)
    assert time.monotonic() - start < 5
    with qtbot.waitSignal(window.session.sending.ended, timeout=15_000):
        click(child(window, "sendCancel"))
    assert not bar.isVisible()
    assert "Cancelled. 0 of 1 image" in window.banner.text
    assert window.commands.by_name["send"].isEnabled()


def test_a_refusal_stays_in_the_banner_with_its_details(window, asking, qtbot, child, click, start_pacs):
    server = start_pacs(lambda *_: 0xC000)
    dialog = asking()
    fill(dialog, child, server.destination)
    tick = child(dialog, "sendConfirm")
    click(tick, tick.rect().center() / 4)
    with qtbot.waitSignal(window.session.sending.ended, timeout=30_000):
        click(child(dialog, "sendButton"))
    assert window.banner.text.startswith("1 of 1 image was not stored")
    assert "cannot understand" in window.banner.text
    assert child(window, "bannerDetails").isVisible()


def test_quitting_asks_while_images_are_sent(window, asking, qtbot, silent_pacs, monkeypatch):
    asked = []
    monkeypatch.setattr(QMessageBox, "question", lambda *words: asked.append(words[2]) or QMessageBox.StandardButton.No)
    assert window.session.send(silent_pacs, is_confirmed=True)
    assert not window.close()
    assert asked == ["Images are being sent. Stop and quit?"]
    with qtbot.waitSignal(window.session.sending.ended, timeout=15_000):
        window.session.sending.cancel()


@pytest.mark.parametrize(("kind", "words"), [("fastmri", "Patient names are not written"), ("dicom", "names included")])
def test_the_dialog_says_what_goes_and_whose_it_is(qtbot, child, new_series, kind, words):
    result = SimpleNamespace(title="CS-TV", finished=(0, 1), series=new_series(kind=kind, name="scan"))
    dialog = SendDialog([result], result, [], lambda _: False, "MRIWS")
    qtbot.addWidget(dialog)
    note = child(dialog, "sendNote").text()
    assert note.startswith("2 images of scan will be sent, marked for research use only.")
    assert words in note


@pytest.mark.parametrize(
    ("name", "typed", "word"),
    [("sendAETitle", "A\\B", "AE title"), ("sendHost", "a b", "no host"), ("sendCalling", "Ü", "AE title")],
)
def test_what_is_impossible_is_said_in_the_dialog(qtbot, child, new_series, name, typed, word):
    result = SimpleNamespace(title="CS-TV", finished=(0,), series=new_series())
    dialog = SendDialog([result], result, [Destination("PACS", "host", 104)], lambda _: True, "MRIWS")
    qtbot.addWidget(dialog)
    assert child(dialog, "sendButton").isEnabled()
    edit = child(dialog, name)
    edit.clear()
    assert "Give the" in child(dialog, "sendProblem").text()
    QTest.keyClicks(edit, typed)
    assert word in child(dialog, "sendProblem").text()
    assert not child(dialog, "sendButton").isEnabled()
    assert not child(dialog, "sendVerify").isEnabled()
