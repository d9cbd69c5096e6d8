"""How the window looks: Fusion with our own dark or light palette, one accent colour, one style sheet.

The platform's colour scheme does nothing on bare X servers and offscreen, so the palette is explicit. Image wells are
near black in both themes: an eye that judges grey values must not be dazzled by what surrounds them.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QObject, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFont, QGuiApplication, QIcon, QPalette
from PySide6.QtWidgets import QApplication, QStyleFactory, QWidget

from app import icons
from app.style_sheet import style_sheet

SPACE = 4
"""Smallest distance in logical pixels; others are multiples of it."""
GAP = 2 * SPACE
MARGIN = 3 * SPACE
ICON_SIZE = 18

THEMES = ("auto", "dark", "light")


@dataclass(frozen=True)
class Colours:
    """Colours of one theme as ``#rrggbb``; text on its ground has a contrast of at least 4.5 to 1.

    ``well`` and what lies on it (``well_text``, ``well_muted``, ``well_line``) are for image panels.
    ``series`` colours curves and the modules of the scrubber; its members differ in lightness as well as in hue.
    """

    window: str
    base: str
    raised: str
    line: str
    text: str
    muted: str
    disabled: str
    accent: str
    accent_hover: str
    on_accent: str
    selection: str
    good: str
    warning: str
    error: str
    well: str = "#08090a"
    well_text: str = "#e8eaed"
    well_muted: str = "#9aa2ab"
    well_line: str = "#2a2e33"
    well_accent: str = "#5fb0ff"
    series: tuple[str, ...] = ()


DARK = Colours(
    window="#1e2125",
    base="#131517",
    raised="#2a2e33",
    line="#3b4047",
    text="#e4e7ea",
    muted="#a0a7af",
    disabled="#6b7178",
    accent="#5fb0ff",
    accent_hover="#86c4ff",
    on_accent="#06182b",
    selection="#24486b",
    good="#6fcf97",
    warning="#f2c14e",
    error="#ff8a80",
    series=("#5fb0ff", "#f2a65a", "#6fcf97", "#d99bff", "#f28b9b", "#d8d36a"),
)

LIGHT = Colours(
    window="#f3f4f6",
    base="#ffffff",
    raised="#e9ebee",
    line="#cdd1d6",
    text="#1b1e22",
    muted="#555c64",
    disabled="#9aa0a7",
    accent="#0a62b8",
    accent_hover="#084e93",
    on_accent="#ffffff",
    selection="#cfe3f8",
    good="#17703c",
    warning="#8a5a00",
    error="#b3261e",
    series=("#0a62b8", "#b35c00", "#17703c", "#7b3fb0", "#b8324a", "#6d6a00"),
)


class _Notifier(QObject):
    """Says that the theme changed; views that paint themselves also get Qt's PaletteChange event."""

    changed = Signal()


_state: dict[str, Any] = {"dark": True, "choice": "auto", "notifier": None}
_icon_owners: weakref.WeakKeyDictionary[QObject, tuple[str, str]] = weakref.WeakKeyDictionary()


def apply(app: QApplication, theme: str = "auto") -> None:
    """Dress the application.

    Parameters
    ----------
    app
        The running application.
    theme
        ``dark``, ``light`` or ``auto``: what the desktop says, and dark where it says nothing.

    Raises
    ------
    ValueError
        If the theme is unknown.
    """
    if theme not in THEMES:
        raise ValueError(f"theme {theme!r} is unknown: expected one of {', '.join(THEMES)}")
    _state["choice"] = theme
    _state["dark"] = theme == "dark" or (theme == "auto" and _platform_is_dark())
    if app.style().objectName().lower() != "fusion":
        app.setStyle(QStyleFactory.create("Fusion"))
    app.setPalette(_palette(colours()))
    app.setStyleSheet(style_sheet(colours(), "dark" if is_dark() else "light"))
    _refresh_icons()
    notifier().changed.emit()


def is_dark() -> bool:
    """Whether the dark colours are in use."""
    return bool(_state["dark"])


def choice() -> str:
    """What was asked for: ``auto``, ``dark`` or ``light``."""
    return str(_state["choice"])


def colours() -> Colours:
    """Colours of the theme in use."""
    return DARK if _state["dark"] else LIGHT


def notifier() -> _Notifier:
    """Object whose ``changed`` signal fires after each change of theme."""
    if _state["notifier"] is None:
        _state["notifier"] = _Notifier()
    notifier: _Notifier = _state["notifier"]
    return notifier


def follow_platform(app: QApplication) -> None:
    """Re-apply the theme when the desktop switches between light and dark, as long as the choice is ``auto``."""

    def switched(_scheme: Qt.ColorScheme) -> None:
        if choice() == "auto" and _platform_is_dark() != is_dark():
            apply(app, "auto")

    app.styleHints().colorSchemeChanged.connect(switched)


def icon(name: str, role: str = "text") -> QIcon:
    """Icon of the Material Design set in a colour of the theme.

    Parameters
    ----------
    name
        Name in the set, such as ``play`` or ``folder-open-outline``.
    role
        Field of `Colours` that it is drawn in.
    """
    return icons.icon(name, getattr(colours(), role), colours().disabled)


def set_icon(owner: QObject, name: str, role: str = "text") -> None:
    """Give a button or an action an icon that keeps to the theme.

    Parameters
    ----------
    owner
        Anything with ``setIcon``; it is not kept alive.
    name, role
        As in `icon`.
    """
    _icon_owners[owner] = (name, role)
    owner.setIcon(icon(name, role))  # type: ignore[attr-defined]
    if hasattr(owner, "setIconSize"):
        owner.setIconSize(QSize(ICON_SIZE, ICON_SIZE))


def dress(widget: QWidget, **properties: str | bool) -> None:
    """Set properties that the style sheet chooses by: ``dress(label, colour="error")`` keeps to the theme."""
    if any(widget.property(name) != value for name, value in properties.items()):
        for name, value in properties.items():
            widget.setProperty(name, value)
        # Qt looks at them only when it begins with a widget.
        widget.style().unpolish(widget)
        widget.style().polish(widget)


def number_font(font: QFont) -> QFont:
    """Copy of a font whose digits all have the same width, so that changing values do not dance."""
    result = QFont(font)
    result.setStyleHint(QFont.StyleHint.SansSerif)
    result.setFeature(QFont.Tag("tnum"), 1)
    return result


def small_font(font: QFont) -> QFont:
    """Copy of a font for captions, a step smaller and never below 8 points."""
    result = number_font(font)
    if font.pointSizeF() > 0:
        result.setPointSizeF(max(8.0, font.pointSizeF() - 1.0))
    return result


def configure_plots() -> None:
    """Give pyqtgraph, which does not read the palette, the colours of the theme for plots made from now on."""
    import pyqtgraph

    pyqtgraph.setConfigOptions(background=colours().base, foreground=colours().muted, antialias=True)


def contrast(foreground: str, background: str) -> float:
    """Contrast ratio of two colours by the Web Content Accessibility Guidelines, 1 to 21."""

    def luminance(name: str) -> float:
        def linear(value: float) -> float:
            return float(value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4)

        colour = QColor(name)
        return 0.2126 * linear(colour.redF()) + 0.7152 * linear(colour.greenF()) + 0.0722 * linear(colour.blueF())

    lighter, darker = sorted((luminance(foreground), luminance(background)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _platform_is_dark() -> bool:
    hints = QGuiApplication.styleHints()
    return hints.colorScheme() != Qt.ColorScheme.Light


def _refresh_icons() -> None:
    from shiboken6 import isValid

    for owner, (name, role) in list(_icon_owners.items()):
        if isValid(owner):
            owner.setIcon(icon(name, role))  # type: ignore[attr-defined]


def _palette(theme: Colours) -> QPalette:
    role = QPalette.ColorRole
    palette = QPalette()
    for where, name in {
        role.Window: theme.window,
        role.WindowText: theme.text,
        role.Base: theme.base,
        role.AlternateBase: theme.raised,
        role.Text: theme.text,
        role.Button: theme.raised,
        role.ButtonText: theme.text,
        role.BrightText: theme.error,
        role.ToolTipBase: theme.raised,
        role.ToolTipText: theme.text,
        role.PlaceholderText: theme.muted,
        role.Highlight: theme.accent,
        role.HighlightedText: theme.on_accent,
        role.Accent: theme.accent,
        role.Link: theme.accent,
        role.LinkVisited: theme.accent,
        role.Light: QColor(theme.raised).lighter(115).name(),
        role.Midlight: QColor(theme.raised).lighter(107).name(),
        role.Mid: theme.line,
        role.Dark: QColor(theme.line).darker(115).name(),
        role.Shadow: "#000000" if theme is DARK else "#8b9096",
    }.items():
        palette.setColor(where, QColor(name))
    for where in (role.WindowText, role.Text, role.ButtonText, role.PlaceholderText):
        palette.setColor(QPalette.ColorGroup.Disabled, where, QColor(theme.disabled))
    palette.setColor(QPalette.ColorGroup.Disabled, role.Highlight, QColor(theme.line))
    palette.setColor(QPalette.ColorGroup.Disabled, role.HighlightedText, QColor(theme.disabled))
    return palette
