"""A display that is not there, or lets nobody in, is said in words before Qt ends the process."""

from __future__ import annotations

import socket
import struct
import sys
from contextlib import closing
from threading import Thread

import pytest

from app import cli, display

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a display")
_VARIABLES = ("DISPLAY", "WAYLAND_DISPLAY")
# First X display of TCP's ports; one that nobody has in a test.
_X_PORT = 6000


@pytest.fixture(autouse=True)
def no_display(monkeypatch):
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def x_server(monkeypatch):
    """Answer the first client at $DISPLAY as an X server does: let it in, or not."""
    threads, servers = [], []

    def start(reply):
        server = socket.create_server(("127.0.0.1", 0))
        port = server.getsockname()[1]
        monkeypatch.setenv("DISPLAY", f"127.0.0.1:{port - _X_PORT}")

        def answer():
            client, _ = server.accept()
            with client:
                client.recv(4096)
                client.sendall(reply)
                client.recv(4096)

        servers.append(server)
        threads.append(Thread(target=answer))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join()
    for server in servers:
        server.close()


@pytest.mark.parametrize("platforms", ["", "xcb", "wayland;xcb", "wayland-egl"])
@pytest.mark.parametrize("is_set", [False, True])
def test_the_window_is_refused_in_words(monkeypatch, capsys, tmp_path, platforms, is_set):
    monkeypatch.setenv("QT_QPA_PLATFORM", platforms)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    if is_set:
        for name, value in zip(_VARIABLES, (":98765", "wayland-9"), strict=True):
            monkeypatch.setenv(name, value)
    assert cli.main([]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    [line] = captured.err.splitlines()
    assert line.startswith(f"{cli.PROGRAM}: error: the window needs a display, and ")
    assert ("no server answers at" if is_set else "not set") in line


def test_an_x_server_lets_the_window_in_or_not(x_server):
    reason = b"not you."
    x_server(struct.pack("<BBHHH", 0, len(reason), 11, 0, len(reason) // 4) + reason)
    assert "no server answers at DISPLAY=127.0.0.1:" in display.problem()
    # What it says of itself: no vendor, no formats, no screens.
    about = bytes(32)
    x_server(struct.pack("<BBHHH", 1, 0, 11, 0, len(about) // 4) + about)
    assert display.problem() == ""


def test_a_wayland_compositor_is_looked_for_where_it_listens(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-9")
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(str(tmp_path / "wayland-9"))
        assert "WAYLAND_DISPLAY=wayland-9" in display.problem()
        server.listen()
        assert display.problem() == ""
    assert "DISPLAY is not set" in display.problem("xcb")
    monkeypatch.delenv("WAYLAND_DISPLAY")
    assert "WAYLAND_DISPLAY is not set" in display.problem("wayland")
    with closing(socket.socket(socket.AF_UNIX)) as server:  # where libwayland looks without the variable
        server.bind(str(tmp_path / "wayland-0"))
        server.listen()
        assert display.problem("wayland") == ""
    monkeypatch.setenv("WAYLAND_SOCKET", "5")
    assert display.problem("wayland") == ""


def test_platforms_without_a_display_need_none():
    assert display.problem("offscreen") == display.problem("vnc:size=800x600") == ""
