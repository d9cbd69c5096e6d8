"""Sending to a PACS: to a storage service in this process, and to DCMTK's."""

import contextlib
import shutil
import socket
import subprocess
import threading
import time
from contextlib import closing

import pydicom
import pytest
from pydicom.uid import ImplicitVRLittleEndian, generate_uid
from pynetdicom import AllStoragePresentationContexts

from recon import interruption
from recon.errors import NetworkError
from recon.export import pacs
from recon.export.pacs import Destination
from recon.export.pacs.instances import find

ENHANCED = "1.2.840.10008.5.1.4.1.1.4.1"


def send(path, where, timeout_s=10.0, **options):
    return list(pacs.send(find([path]).instances, Destination.from_text(where), timeout_s=timeout_s, **options))


def data_set(file):
    """The bytes behind the file header."""
    content = file.read_bytes()
    return content[132 + 12 + int.from_bytes(content[140:144], "little") :]


# ---- what arrives -----------------------------------------------------------------------------------------------


def test_every_instance_arrives_as_it_lies_on_the_disk(start_pacs, write_instances, tmp_path):
    server = start_pacs()
    files = write_instances(tmp_path / "a.dcm", 3) + write_instances(tmp_path / "b.dcm", 2, ImplicitVRLittleEndian)
    reports = send(tmp_path, server.destination)
    assert [(report.path, report.state, report.status, report.comment) for report in reports] == [
        (file, "stored", 0, "") for file in files
    ]
    assert list(server.received.values()) == [data_set(file) for file in files]
    assert list(server.received) == [report.sop_instance_uid for report in reports]
    assert server.callers == ["MRIWS"]


def test_an_exported_series_arrives_and_is_readable(start_pacs, result, export, tmp_path):
    server = start_pacs()
    files, datasets = export(result, tmp_path / "series.dcm")
    assert [report.state for report in send(tmp_path, server.destination, calling="OTHER")] == ["stored", "stored"]
    assert list(server.received.values()) == [data_set(file) for file in files]
    assert list(server.received) == [dataset.SOPInstanceUID for dataset in datasets]
    assert server.callers == ["OTHER"]


def test_the_data_set_decides_where_the_file_header_names_another_object(start_pacs, write_instances, tmp_path):
    server = start_pacs()
    (file,) = write_instances(tmp_path, 1)
    dataset = pydicom.dcmread(file)
    dataset.SOPInstanceUID = generate_uid()
    pydicom.dcmwrite(file, dataset)  # the file header keeps the former identity
    assert pydicom.dcmread(file).file_meta.MediaStorageSOPInstanceUID != dataset.SOPInstanceUID
    (report,) = send(file, server.destination)
    assert report.is_stored
    assert server.received == {dataset.SOPInstanceUID: data_set(file)}


def test_dcmtk_stores_what_is_sent(result, export, tmp_path):
    if shutil.which("storescp") is None:
        pytest.skip("storescp (Debian package dcmtk) is not installed")
    _, datasets = export(result, tmp_path / "series.dcm")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    command = ["storescp", "-od", str(inbox), "-aet", "PACS", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            destination = Destination("PACS", "127.0.0.1", port)
            wait_for_answer(destination)
            reports = send(tmp_path / "series.dcm", str(destination))
        finally:
            server.terminate()
    assert [report.sentence for report in reports] == ["stored", "stored"]
    stored = {one.SOPInstanceUID: one for one in map(pydicom.dcmread, inbox.iterdir())}
    assert set(stored) == {dataset.SOPInstanceUID for dataset in datasets}
    for dataset in datasets:
        assert (stored[dataset.SOPInstanceUID].pixel_array == dataset.pixel_array).all()
        assert stored[dataset.SOPInstanceUID] == dataset


def wait_for_answer(destination):
    end = time.monotonic() + 20
    while True:
        try:
            pacs.echo(destination, timeout_s=5)
            return
        except NetworkError:
            assert time.monotonic() < end
            time.sleep(0.05)


# ---- what is refused --------------------------------------------------------------------------------------------


def test_each_instance_has_its_own_answer(start_pacs, write_instances, tmp_path):
    def answer(number, event):
        return {2: 0xA700, 3: 0xB000, 4: 0xC123, 5: 0x0124, 6: 0x9999}.get(number, 0)

    server = start_pacs(answer)
    write_instances(tmp_path, 7)
    reports = send(tmp_path, server.destination)
    assert [(report.state, report.status) for report in reports] == [
        ("stored", 0),
        ("refused", 0xA700),
        ("stored with a warning", 0xB000),
        ("refused", 0xC123),
        ("refused", 0x0124),
        ("refused", 0x9999),
        ("stored", 0),
    ]
    assert reports[1].sentence == "refused (0xA700): it is out of resources, such as room on its disk"
    assert "changed elements" in reports[2].comment
    assert "cannot understand" in reports[3].comment
    assert "does not allow" in reports[4].comment
    assert "does not say why" in reports[5].comment
    assert len(server.received) == 3


def test_what_a_pacs_says_of_a_refusal_is_quoted_on_one_line(start_pacs, write_instances, tmp_path):
    def answer(number, event):
        response = pydicom.Dataset()
        response.Status, response.ErrorComment = 0xA700, "quota of\nMRIWS used up"
        return response

    write_instances(tmp_path, 1)
    (report,) = send(tmp_path, start_pacs(answer).destination)
    assert report.sentence.endswith("the PACS says “quota of MRIWS used up”")


def test_a_kind_of_object_that_is_not_taken_is_refused_by_name(start_pacs, write_instances, tmp_path):
    server = start_pacs(syntaxes=[ImplicitVRLittleEndian])
    write_instances(tmp_path / "a", 1, ImplicitVRLittleEndian)
    write_instances(tmp_path / "b", 1)
    write_instances(tmp_path / "c", 1, ImplicitVRLittleEndian, SOPClassUID=ENHANCED)
    reports = send(tmp_path, server.destination)
    assert [(report.state, report.status, report.comment) for report in reports] == [
        ("stored", 0, ""),
        ("refused", None, "the PACS does not take MR Image Storage as Explicit VR Little Endian"),
        ("refused", None, "the PACS does not take Enhanced MR Image Storage"),
    ]
    reports = send(tmp_path / "b", server.destination)
    assert [report.state for report in reports] == ["refused"]
    assert "Explicit VR Little Endian" in reports[0].comment


def test_more_kinds_than_an_association_holds_take_several(start_pacs, write_instances, tmp_path):
    classes = [context.abstract_syntax for context in AllStoragePresentationContexts[:130]]
    server = start_pacs(classes=tuple(classes))
    for number, sop_class in enumerate(classes):
        write_instances(tmp_path / f"{number:03d}", 1, SOPClassUID=sop_class)
    reports = send(tmp_path, server.destination)
    assert [report.state for report in reports] == ["stored"] * 130
    assert len(server.received) == 130
    assert len(server.callers) == 2


# ---- no association ---------------------------------------------------------------------------------------------


def test_echo_answers(start_pacs):
    server = start_pacs()
    assert 0 < pacs.echo(Destination.from_text(server.destination), timeout_s=10) < 10
    assert server.received == {}


@pytest.mark.parametrize("ask", ["echo", "send"])
@pytest.mark.parametrize(
    ("options", "destination", "words"),
    [
        ({}, "NOBODY@127.0.0.1", ["called AE title NOBODY is not recognised", "knows MRIWS"]),
        (
            {"callers": ("FRIEND",)},
            "PACS@127.0.0.1",
            ["calling AE title MRIWS is not recognised", "entered in the PACS"],
        ),
        ({}, "PACS@no-such-host.invalid", ["no computer called no-such-host.invalid"]),
    ],
)
def test_a_rejection_says_why_and_what_to_do(start_pacs, write_instances, tmp_path, ask, options, destination, words):
    port = start_pacs(**options).destination.rpartition(":")[2]
    where = Destination.from_text(f"{destination}:{port}")
    write_instances(tmp_path, 1)
    with pytest.raises(NetworkError) as caught:
        pacs.echo(where, timeout_s=10) if ask == "echo" else send(tmp_path, str(where))
    assert all(word in str(caught.value) for word in [str(where), *words]), str(caught.value)


def test_nothing_that_listens_is_said(no_pacs, write_instances, tmp_path):
    write_instances(tmp_path, 1)
    with pytest.raises(NetworkError, match=r"nothing listens on port \d+ of 127\.0\.0\.1"):
        send(tmp_path, no_pacs)


def test_the_port_where_nothing_listens_is_nobody_elses(no_pacs):
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", int(no_pacs.rpartition(":")[2])))


def test_a_name_is_looked_up_once_and_not_for_longer_than_a_pacs_may_be_silent(slow_names):
    where, asked = slow_names
    start = time.monotonic()
    with pytest.raises(NetworkError, match=r"slow\.invalid is not found within 0\.3 seconds"):
        pacs.echo(Destination.from_text(where), timeout_s=0.3)
    assert time.monotonic() - start < 5
    assert len(asked) == 1


def test_a_name_is_looked_up_once_where_nothing_listens(no_pacs, monkeypatch):
    look_up, asked = socket.getaddrinfo, []

    def getaddrinfo(host, *arguments, **options):
        asked.append(host)
        return look_up("127.0.0.1" if host == "pacs.invalid" else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(NetworkError, match=r"nothing listens on port \d+ of pacs\.invalid"):
        pacs.echo(Destination("PACS", "pacs.invalid", int(no_pacs.rpartition(":")[2])), timeout_s=10)
    assert asked.count("pacs.invalid") == 1


def test_a_listener_that_says_nothing_is_given_up(silent_pacs):
    start = time.monotonic()
    with pytest.raises(NetworkError, match="takes the connection but gives no answer"):
        pacs.echo(Destination.from_text(silent_pacs), timeout_s=0.5)
    assert 0.5 <= time.monotonic() - start < 10


def test_a_listener_that_hangs_up_is_no_dicom_service():
    with socket.create_server(("127.0.0.1", 0)) as server:
        hangs_up = threading.Thread(target=lambda: server.accept()[0].close())
        hangs_up.start()
        with pytest.raises(NetworkError, match="breaks off instead of answering"):
            pacs.echo(Destination("PACS", "127.0.0.1", server.getsockname()[1]), timeout_s=10)
        hangs_up.join()


def test_a_pacs_without_echo_is_told_from_one_that_is_not_there(start_pacs):
    server = start_pacs(classes=("1.2.840.10008.5.1.4.1.1.4",))
    with pytest.raises(NetworkError, match="takes no C-ECHO"):
        pacs.echo(Destination.from_text(server.destination), timeout_s=10)


# ---- associations that are lost ---------------------------------------------------------------------------------


def test_an_association_that_is_lost_is_asked_for_once_more(start_pacs, write_instances, tmp_path):
    server = start_pacs(lambda number, event: event.assoc.abort() or 0 if number == 2 else 0)
    files = write_instances(tmp_path, 4)
    assert [report.state for report in send(tmp_path, server.destination)] == ["stored"] * 4
    assert set(server.received.values()) == {data_set(file) for file in files}
    assert len(server.callers) == 2


def test_what_is_left_of_a_line_that_breaks_twice_is_not_sent(start_pacs, write_instances, tmp_path):
    server = start_pacs(lambda number, event: event.assoc.abort() or 0 if number in (2, 3) else 0)
    write_instances(tmp_path, 4)
    reports = send(tmp_path, server.destination)
    assert [report.state for report in reports] == ["stored", "not sent", "not sent", "not sent"]
    assert {report.comment for report in reports[1:]} == {
        "the PACS broke off the association, also after a second attempt"
    }
    assert len(server.callers) == 2


def test_a_pacs_that_never_answers_an_instance_is_given_up(start_pacs, write_instances, tmp_path):
    end = threading.Event()
    server = start_pacs(lambda *_: int(not end.wait(30)))
    write_instances(tmp_path, 2)
    try:
        reports = send(tmp_path, server.destination, timeout_s=0.5)
    finally:
        end.set()
    assert [report.state for report in reports] == ["not sent", "not sent"]
    assert "gave no answer" in reports[0].comment


def test_a_pacs_that_goes_away_in_the_middle_is_said_with_both_reasons(start_pacs, write_instances, tmp_path):
    connections = []

    def relay():
        with contextlib.suppress(OSError):
            connection, _ = door.accept()
            door.close()
            connections.append(connection)
            with socket.create_connection(("127.0.0.1", int(server.destination.rpartition(":")[2]))) as inner:
                threading.Thread(target=pump, args=(inner, connection), daemon=True).start()
                pump(connection, inner)

    def pump(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)

    def answer(number, event):
        if number == 2:
            connections[0].shutdown(socket.SHUT_RDWR)
        return 0

    server = start_pacs(answer)
    door = socket.create_server(("127.0.0.1", 0))
    where = f"PACS@127.0.0.1:{door.getsockname()[1]}"
    thread = threading.Thread(target=relay, daemon=True)
    thread.start()
    write_instances(tmp_path, 3)
    reports = send(tmp_path, where)
    thread.join()
    connections[0].close()
    assert [report.state for report in reports] == ["stored", "not sent", "not sent"]
    assert "broke off the association; then" in reports[1].comment
    assert "nothing listens" in reports[1].comment


def test_a_peer_that_takes_no_more_bytes_is_given_up(start_pacs, write_instances, tmp_path):
    """The buffers of the line fill up, and a sender without a limit would wait for ever."""
    server = start_pacs()
    write_instances(tmp_path, 1, Rows=8192, Columns=1024, PixelData=bytes(1 << 24))
    stop = threading.Event()

    def relay():
        connection, _ = door.accept()
        with connection, socket.create_connection(("127.0.0.1", int(server.destination.rpartition(":")[2]))) as inner:
            inner.sendall(connection.recv(65536))
            connection.sendall(inner.recv(65536))
            stop.wait(60)

    with socket.create_server(("127.0.0.1", 0)) as door:
        threads = [threading.Thread(target=relay, daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("recon.export.pacs.association._SLOWEST_BYTES_PER_S", 1 << 26)
            start = time.monotonic()
            try:
                reports = send(tmp_path, f"PACS@127.0.0.1:{door.getsockname()[1]}", timeout_s=0.5)
            finally:
                stop.set()
                seconds = time.monotonic() - start
                for thread in threads:
                    thread.join()
    assert [report.state for report in reports] == ["not sent"]
    assert seconds < 20


# ---- the end before the end -------------------------------------------------------------------------------------


def test_a_cancel_between_two_instances_keeps_what_was_stored(start_pacs, write_instances, tmp_path):
    server = start_pacs()
    write_instances(tmp_path, 4)
    asked = threading.Event()
    reports = []
    stream = pacs.send(find([tmp_path]).instances, Destination.from_text(server.destination), timeout_s=10)
    with interruption.watching(asked.is_set), pytest.raises(interruption.Interrupted), closing(stream):
        for report in stream:
            reports.append(report)
            if len(reports) == 2:
                asked.set()
    assert [report.state for report in reports] == ["stored", "stored"]
    assert len(server.received) == 2


@pytest.mark.parametrize("when", ["answer", "association"])
def test_a_cancel_does_not_wait_for_a_silent_pacs(start_pacs, silent_pacs, write_instances, tmp_path, when):
    asked, end = threading.Event(), threading.Event()

    def answer(number, event):
        asked.set()
        end.wait(30)
        return 0

    where = start_pacs(answer).destination if when == "answer" else silent_pacs
    timer = threading.Timer(0.3, asked.set)
    timer.start()
    write_instances(tmp_path, 2)
    start = time.monotonic()
    try:
        with interruption.watching(asked.is_set), pytest.raises(interruption.Interrupted):
            send(tmp_path, where, timeout_s=60)
        assert time.monotonic() - start < 15
    finally:
        end.set()
        timer.join()


def test_a_cancel_does_not_wait_for_a_name_to_be_found(slow_names):
    where, asked = slow_names
    start = time.monotonic()
    with interruption.watching(lambda: bool(asked)), pytest.raises(interruption.Interrupted):
        pacs.echo(Destination.from_text(where), timeout_s=60)
    assert time.monotonic() - start < 5


def test_whoever_stops_reading_reports_ends_the_association(start_pacs, write_instances, tmp_path):
    server = start_pacs()
    write_instances(tmp_path, 3)
    before = threading.active_count()
    with closing(pacs.send(find([tmp_path]).instances, Destination.from_text(server.destination))) as stream:
        assert next(stream).is_stored
    assert len(server.received) == 1
    end = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_a_file_that_goes_meanwhile_does_not_stop_the_others(start_pacs, write_instances, tmp_path):
    server = start_pacs()
    files = write_instances(tmp_path, 4)
    found = find([tmp_path]).instances
    files[1].unlink()
    files[2].write_bytes(files[2].read_bytes()[:-10])
    reports = list(pacs.send(found, Destination.from_text(server.destination), timeout_s=10))
    assert [report.state for report in reports] == ["stored", "not sent", "not sent", "stored"]
    assert "changed or went" in reports[1].comment
    assert len(server.callers) == 1
