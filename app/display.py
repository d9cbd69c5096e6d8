"""Whether there is a screen to draw on. Qt ends the process by itself, with a core dump, where there is none."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import socket
from contextlib import suppress
from pathlib import Path

# Of Qt's platforms on Linux those that draw on a display, and the variables that name it.
_X, _WAYLAND = "DISPLAY", "WAYLAND_DISPLAY"
_NAMES = {"": (_X, _WAYLAND), "xcb": (_X,), "wayland": (_WAYLAND,)}


def problem(qt_platforms: str = "") -> str:
    """Return what keeps the window from being shown, as a clause; empty where nothing does.

    Parameters
    ----------
    qt_platforms
        What ``QT_QPA_PLATFORM`` says, such as ``offscreen`` or ``wayland;xcb``; empty lets Qt choose.
    """
    chosen = [re.split("[:-]", name)[0] for name in qt_platforms.split(";")]
    if platform.system() != "Linux" or not all(name in _NAMES for name in chosen):
        return ""
    names = list(dict.fromkeys(variable for name in chosen for variable in _NAMES[name]))
    if _WAYLAND in names and (os.environ.get("WAYLAND_SOCKET") or _wayland_answers()):
        return ""
    found = [name for name in names if os.environ.get(name)]
    if _X in found and _x_answers():
        return ""
    if found:
        said = " and ".join(f"{name}={os.environ[name]}" for name in found)
        return f"no server answers at {said}, or it refuses this user (over ssh: ssh -X)"
    return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} not set (over ssh: ssh -X)"


def _x_answers() -> bool:
    """Connect as Qt will, by the library that Qt does it with: it knows sockets, hosts and who is let in."""
    try:
        xcb = ctypes.CDLL("libxcb.so.1")
    except OSError:
        return True  # Qt names what is missing
    xcb.xcb_connect.restype = ctypes.c_void_p
    connection = ctypes.c_void_p(xcb.xcb_connect(None, None))
    is_refused = xcb.xcb_connection_has_error(connection)
    xcb.xcb_disconnect(connection)
    return not is_refused


def _wayland_answers() -> bool:
    place = Path(os.environ.get("XDG_RUNTIME_DIR", ""), os.environ.get(_WAYLAND) or "wayland-0")
    with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(place))
        return True
    return False
