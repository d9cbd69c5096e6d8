"""What the user can do: one table from which menus, shortcuts, buttons and the shortcut sheet follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.views import levels
from app.views.component import Component

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.main_window import MainWindow
    from app.session import Session

LEVELS = "Window/level"
MENUS = ("File", "Edit", "View", LEVELS, "Reconstruct", "Help")


def _always(_session: Session) -> bool:
    return True


@dataclass(frozen=True)
class Command:
    """One thing to do.

    Attributes
    ----------
    identifier
        Object name of its action.
    menu
        One of `MENUS`.
    text
        What the menu says.
    run
        What happens; gets the window.
    icon
        Name in the icon set, or empty.
    keys
        Shortcuts; the first is shown in the menu.
    enabled
        When it can be done.
    checked
        For a switch: whether it is on.
    what
        What it would be done to now, which the menu says after the text; empty for nothing.
    gap
        True where a line separates it from the one above.
    """

    identifier: str
    menu: str
    text: str
    run: Callable[[MainWindow], Any]
    icon: str = ""
    keys: tuple[str, ...] = ()
    enabled: Callable[[Session], bool] = _always
    checked: Callable[[Session], bool] | None = None
    what: Callable[[Session], str] | None = None
    gap: bool = False


def _has_series(session: Session) -> bool:
    return session.series is not None


def _has_window(session: Session) -> bool:
    return session.view.levels is not None and session.view.component is Component.MAGNITUDE


def _has_errors(session: Session) -> bool:
    return session.series is not None and session.series.has_reference


def _has_steps(session: Session) -> bool:
    return session.slice_result is not None


def _can_start(session: Session) -> bool:
    return not session.problem


def _has_waiting(session: Session) -> bool:
    return bool(session.queue.waiting)


def _has_result(session: Session) -> bool:
    return session.result is not None and session.result.reconstruction is not None


def _can_send(session: Session) -> bool:
    return _has_result(session) and not session.sending.is_running


def _shows_result(session: Session) -> bool:
    return session.result is not None


def _has_several(session: Session) -> bool:
    return len(session.shelf.of(session.series)) > 1


def _can_blink(session: Session) -> bool:
    return session.shelf.seen_before(session.series) is not None


def _go_to(place: str) -> Callable[[MainWindow], None]:
    def run(window: MainWindow) -> None:
        series = window.session.series
        if series is not None:
            window.session.select(index=0 if place == "first" else series.n_slices - 1)

    return run


def _wipe(more: float) -> Callable[[MainWindow], None]:
    def run(window: MainWindow) -> None:
        view = window.session.view
        view.set_wipe(min(max(view.wipe + more, 0.0), 1.0))

    return run


def _wipes(session: Session) -> bool:
    return _has_series(session) and session.view.has_wipe


def _stop(window: MainWindow) -> None:
    # Who ends a cine by the key that ends everything must not lose the reconstruction that runs beside it.
    if not window.session.stop_playing():
        window.session.cancel()


def _show(component: Component) -> Callable[[MainWindow], None]:
    return lambda window: window.session.view.show_component(component)


def _colour(name: str) -> Callable[[MainWindow], None]:
    return lambda window: window.session.change_settings(colours=name)


def _preset(key: str) -> Callable[[MainWindow], None]:
    return lambda window: window.session.apply_preset(key)


COMMANDS: tuple[Command, ...] = (
    Command("openFile", "File", "Open files…", lambda w: w.ask_files(), "file-outline", ("Ctrl+O",)),
    Command("openFolder", "File", "Open folder…", lambda w: w.ask_folder(), "folder-open-outline", ("Ctrl+Shift+O",)),
    Command("openDemo", "File", "Open the demo study", lambda w: w.session.open_demo(), "play-circle-outline"),
    Command("closeStudy", "File", "Close study", lambda w: w.close_current_study(), "close", ("Ctrl+W",), _has_series),
    Command("openSession", "File", "Open session…", lambda w: w.session_desk.ask(), gap=True),
    Command(
        "saveSession",
        "File",
        "Save session…",
        lambda w: w.session_desk.save(),
        "content-save-outline",
        ("Ctrl+S",),
        lambda session: bool(session.studies),
    ),
    Command(
        "export",
        "File",
        "Export result…",
        lambda w: w.ask_export(),
        "export-variant",
        ("Ctrl+E",),
        _has_result,
        gap=True,
    ),
    Command(
        "send",
        "File",
        "Send to a PACS…",
        lambda w: w.sending_desk.ask(),
        "send-outline",
        ("Ctrl+Shift+E",),
        _can_send,
    ),
    Command("settings", "File", "Settings…", lambda w: w.ask_settings(), "cog-outline", ("Ctrl+,",), gap=True),
    Command("quit", "File", "Quit", lambda w: w.close(), "", ("Ctrl+Q",), gap=True),
    Command(
        "undo",
        "Edit",
        "Undo",
        lambda w: w.session.history.undo(),
        "undo",
        ("Ctrl+Z",),
        lambda session: bool(session.history.undoes),
        what=lambda session: session.history.undoes,
    ),
    Command(
        "redo",
        "Edit",
        "Redo",
        lambda w: w.session.history.redo(),
        "redo",
        ("Ctrl+Shift+Z", "Ctrl+Y"),
        lambda session: bool(session.history.redoes),
        what=lambda session: session.history.redoes,
    ),
    Command("nextSlice", "View", "Next slice", lambda w: w.session.step_slice(1), "", ("Up",), _has_series),
    Command("previousSlice", "View", "Previous slice", lambda w: w.session.step_slice(-1), "", ("Down",), _has_series),
    Command("forward", "View", "Five slices on", lambda w: w.session.step_slice(5), "", ("PgUp",), _has_series),
    Command("back", "View", "Five slices back", lambda w: w.session.step_slice(-5), "", ("PgDown",), _has_series),
    Command("firstSlice", "View", "First slice", _go_to("first"), "", ("Home",), _has_series),
    Command("lastSlice", "View", "Last slice", _go_to("last"), "", ("End",), _has_series),
    Command(
        "cine",
        "View",
        "Play the slices",
        lambda w: w.session.cine.toggle(),
        "",
        ("S",),
        lambda session: session.series is not None and session.series.n_slices > 1,
        lambda session: session.cine.is_on,
    ),
    Command("rate", "View", "Next playing speed", lambda w: w.session.view.cycle_rate(), "", ("Shift+S",), _has_series),
    Command(
        "nextIteration",
        "View",
        "Next iteration",
        lambda w: w.session.step_position(1),
        "",
        ("Right",),
        _has_steps,
        gap=True,
    ),
    Command(
        "previousIteration",
        "View",
        "Previous iteration",
        lambda w: w.session.step_position(-1),
        "",
        ("Left",),
        _has_steps,
    ),
    Command("latest", "View", "Newest stage", lambda w: w.session.set_position(None), "", ("Shift+Right",), _has_steps),
    Command(
        "nextResult",
        "View",
        "Next stored result",
        lambda w: w.session.step_result(1),
        "",
        (".",),
        _has_several,
        gap=True,
    ),
    Command(
        "previousResult",
        "View",
        "Previous stored result",
        lambda w: w.session.step_result(-1),
        "",
        (",",),
        _has_several,
    ),
    Command("blink", "View", "The result before, and back", lambda w: w.session.blink(), "", ("B",), _can_blink),
    Command(
        "flicker",
        "View",
        "Flicker between these two",
        lambda w: w.session.flicker.toggle(),
        "",
        ("Shift+B",),
        lambda session: session.can_flicker,
        lambda session: session.flicker.is_on,
    ),
    Command(
        "errorGain",
        "View",
        "Next error gain",
        lambda w: w.session.view.cycle_error_gain(),
        "",
        ("E",),
        _has_series,
        gap=True,
    ),
    Command(
        "errorRow",
        "View",
        "Error maps",
        lambda w: w.session.view.toggle("shows_errors"),
        "",
        ("D",),
        _has_series,
        lambda session: session.view.shows_errors,
    ),
    Command(
        "signedErrors",
        "View",
        "Signs of errors",
        lambda w: w.session.view.toggle("has_signed_errors"),
        "",
        ("Shift+D",),
        _has_errors,
        lambda session: session.view.has_signed_errors,
    ),
    Command(
        "layout",
        "View",
        "Only zero-filled, final, reference",
        lambda w: w.session.view.toggle_layout("result"),
        "",
        ("G",),
        _has_series,
        lambda session: session.view.layout == "result",
    ),
    Command(
        "compare",
        "View",
        "Compare results",
        lambda w: w.session.view.toggle_layout("comparison"),
        "",
        ("C",),
        _shows_result,
        lambda session: session.view.layout == "comparison",
    ),
    Command(
        "statistics",
        "View",
        "Statistics of the results, and back",
        lambda w: w.statistics_desk.toggle(),
        "",
        ("Shift+C",),
        _has_series,
    ),
    Command(
        "wipe",
        "View",
        "Wipe with reference or zero-filled",
        lambda w: w.session.view.toggle("has_wipe"),
        "",
        ("W",),
        _has_series,
        lambda session: session.view.has_wipe,
    ),
    Command("wipeOn", "View", "Wipe further", _wipe(0.05), "", ("Alt+Right",), _wipes),
    Command("wipeBack", "View", "Wipe less", _wipe(-0.05), "", ("Alt+Left",), _wipes),
    Command(
        "crosshair",
        "View",
        "Crosshair",
        lambda w: w.session.view.toggle("has_crosshair"),
        "",
        ("X",),
        _has_series,
        lambda session: session.view.has_crosshair,
    ),
    Command(
        "annotations",
        "View",
        "Sides and scale",
        lambda w: w.session.view.toggle("has_annotations"),
        "",
        ("A",),
        _has_series,
        lambda session: session.view.has_annotations,
    ),
    Command(
        "invert",
        "View",
        "Invert grey values",
        lambda w: w.session.view.toggle("is_inverted"),
        "",
        ("N",),
        _has_series,
        lambda session: session.view.is_inverted,
    ),
    *(
        Command(
            f"colours-{name}",
            "View",
            f"Magnitudes in {name if name == 'grey' else name.capitalize()}",
            _colour(name),
            "",
            (),
            _has_series,
            lambda session, name=name: session.view.colours == name,  # type: ignore[misc]
            gap=name == "grey",
        )
        for name in levels.COLOUR_MAPS
    ),
    Command(
        "coils", "View", "Coil images and maps", lambda w: w.panes.toggle("coils"), "", ("O",), _has_series, gap=True
    ),
    Command("fit", "View", "Zoom to fit", lambda w: w.zoom(), "", ("=", "Ctrl+0"), _has_series, gap=True),
    Command("zoomIn", "View", "Zoom in", lambda w: w.zoom(1.25), "", ("+", "Ctrl++"), _has_series),
    Command("zoomOut", "View", "Zoom out", lambda w: w.zoom(0.8), "", ("-", "Ctrl+-"), _has_series),
    *(
        Command(
            f"level-{preset.key}",
            LEVELS,
            preset.title,
            _preset(preset.key),
            "",
            (str(preset.digit),),
            lambda session, preset=preset: _has_series(session) and preset in session.view.presets,  # type: ignore[misc]
            lambda session, key=preset.key: session.view.preset == key,  # type: ignore[misc]
        )
        for preset in levels.PRESETS + levels.OWN_PRESETS
    ),
    Command(
        "keepWindow", LEVELS, "Keep this window as User", lambda w: w.session.keep_window(), "", ("K",), _has_window
    ),
    *(
        Command(
            f"component-{component.value}",
            LEVELS,
            component.title,
            _show(component),
            "",
            (component.key,),
            _has_series,
            lambda session, component=component: session.view.component is component,  # type: ignore[misc]
            gap=component is Component.MAGNITUDE,
        )
        for component in Component
    ),
    Command(
        "reconstructSlice",
        "Reconstruct",
        "Reconstruct slice",
        lambda w: w.session.reconstruct(),
        "play",
        ("F5",),
        _can_start,
    ),
    Command(
        "reconstructVolume",
        "Reconstruct",
        "Reconstruct volume",
        lambda w: w.session.reconstruct("volume"),
        "",
        ("Shift+F5",),
        _can_start,
    ),
    Command(
        "cancel",
        "Reconstruct",
        "Cancel",
        _stop,
        "stop",
        ("Esc",),
        lambda session: session.is_running or session.cine.is_on or session.flicker.is_on,
    ),
    Command(
        "cancelAll", "Reconstruct", "Cancel all", lambda w: w.session.cancel_all(), "", ("Shift+Esc",), _has_waiting
    ),
    Command(
        "reconstructResults",
        "Reconstruct",
        "Reconstruct the results of the session file",
        lambda w: w.session.keeping.reconstruct(),
        enabled=lambda session: bool(session.keeping.waiting),
    ),
    Command(
        "chooseModel",
        "Reconstruct",
        "Choose a model…",
        lambda w: w.choose_model(),
        "",
        ("Ctrl+M",),
        _has_series,
        gap=True,
    ),
    Command("trainModel", "Reconstruct", "Train a model…", lambda w: w.ask_training()),
    Command("showTraining", "Reconstruct", "Show the training", lambda w: w.training_desk.show_pane(), "", ("Ctrl+T",)),
    Command("find", "Help", "Find a command…", lambda w: w.finder.open(), "", ("Ctrl+Shift+P",)),
    Command("shortcuts", "Help", "Keyboard and mouse", lambda w: w.show_shortcuts(), "keyboard-outline", ("F1", "?")),
    Command("log", "Help", "Show the log", lambda w: w.show_log(), "text-box-outline", ("Ctrl+L",)),
    Command("about", "Help", "About MRI workstation", lambda w: w.show_about(), "information-outline"),
)

MOUSE = (
    ("Wheel", "Previous and next slice"),
    ("Shift + wheel", "Previous and next iteration"),
    ("Ctrl + wheel", "Zoom at the pointer"),
    ("Alt + wheel", "Previous and next coil"),
    ("Left click or drag", "Crosshair and values in all images"),
    ("Left drag of the wipe's line", "How far reference or zero-filled reaches, in all images"),
    ("Shift + left drag", "Region, measured in all images; Shift + click or Delete takes it away"),
    ("Right drag", "Window and level: right is wider, up is brighter"),
    ("Middle drag, Space + left drag", "Pan"),
    ("Double click", "One image fills the grid, and back"),
    ("Ctrl + left drag", "Window and level of what is in the box"),
    ("Double right click", "Window and level from the data"),
)
