"""The one style sheet: controls of equal height with borders and focus rings that Fusion draws too faintly.

Everything else is left to Fusion and the palette, such as menus and scroll bars.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.theme import Colours

TEXT_ROLES = ("muted", "accent", "good", "warning", "error")
"""Colours of the theme that a label may be dressed in, by its property ``colour``."""

_ICONS = Path(__file__).resolve().parent.parent / "resources" / "icons"


def style_sheet(colours: Colours, name: str) -> str:
    """Style sheet of a theme.

    Parameters
    ----------
    colours
        Colours of the theme.
    name
        ``dark`` or ``light``, which chooses the small pictures of check marks and arrows.
    """
    check, down, up = ((_ICONS / f"{picture}-{name}.svg").as_posix() for picture in ("check", "down", "up"))
    c = colours
    coloured = "\n".join(f'QLabel[colour="{role}"] {{ color: {getattr(c, role)}; }}' for role in TEXT_ROLES)
    # A focused border is one pixel thicker and the padding one thinner, so that nothing moves.
    return f"""
QToolTip {{ background: {c.raised}; color: {c.text}; border: 1px solid {c.line}; padding: 4px; }}
QMainWindow::separator {{ background: {c.window}; width: 4px; height: 4px; }}
QMainWindow::separator:hover {{ background: {c.line}; }}
QDockWidget {{ font-weight: 600; }}
QDockWidget::title {{ background: {c.window}; padding: 6px 8px; }}
QStatusBar::item {{ border: none; }}
QStatusBar QLabel {{ padding-right: 10px; qproperty-indent: 0; }}
#status-research {{ padding-right: 0; }}
QGroupBox {{ border: none; margin-top: 20px; font-weight: 600; }}
QGroupBox::title {{ subcontrol-origin: margin; left: 0; color: {c.muted}; }}
QLabel[muted="true"] {{ color: {c.muted}; }}
{coloured}
QLabel[heading="true"] {{ font-weight: 600; }}

QPushButton {{ background: {c.raised}; border: 1px solid {c.line}; border-radius: 4px; padding: 4px 12px;
    min-height: 16px; }}
QPushButton:hover {{ border-color: {c.muted}; }}
QPushButton:pressed {{ background: {c.line}; }}
QPushButton:focus {{ border: 2px solid {c.accent}; padding: 3px 11px; }}
QPushButton:disabled {{ color: {c.disabled}; background: {c.window}; border-color: {c.line}; }}
QPushButton[primary="true"] {{ background: {c.accent}; color: {c.on_accent}; border-color: {c.accent};
    font-weight: 600; }}
QPushButton[primary="true"]:hover {{ background: {c.accent_hover}; border-color: {c.accent_hover}; }}
QPushButton[primary="true"]:focus {{ border: 2px solid {c.text}; }}
QPushButton[primary="true"]:disabled {{ background: {c.raised}; color: {c.disabled}; border-color: {c.line}; }}

QToolButton {{ border: 1px solid transparent; border-radius: 4px; padding: 3px; }}
QToolButton:hover {{ background: {c.raised}; }}
QToolButton:checked {{ background: {c.selection}; }}
QToolButton:focus {{ border: 2px solid {c.accent}; padding: 2px; }}
QToolButton:disabled {{ color: {c.disabled}; }}
QToolButton[framed="true"] {{ border-color: {c.line}; background: {c.raised}; }}
QToolButton[framed="true"]:hover {{ border-color: {c.muted}; }}
QToolButton[framed="true"]:focus {{ border-color: {c.accent}; }}
QToolButton[segment="true"] {{ border: 1px solid {c.line}; border-radius: 0; padding: 3px 2px; }}
QToolButton[segment="true"]:checked {{ background: {c.selection}; border-color: {c.accent}; font-weight: 600; }}
QToolButton[segment="true"]:focus {{ border: 2px solid {c.accent}; padding: 2px 1px; }}

QToolButton[section="true"] {{ font-weight: 600; padding: 2px 6px 2px 0; margin-left: -6px; }}
QToolButton[section="true"]:hover {{ background: {c.raised}; }}
QToolButton[section="true"]:checked {{ background: transparent; }}
QToolButton[section="true"]:focus {{ border: 2px solid {c.accent}; padding: 1px 5px 1px 0; }}

QLineEdit, QAbstractSpinBox, QComboBox {{ border: 1px solid {c.line}; border-radius: 4px; padding: 2px 5px;
    min-height: 20px; background: {c.base}; }}
QAbstractSpinBox {{ padding: 0 2px 0 5px; }}
QComboBox {{ background: {c.raised}; padding: 2px 2px 2px 5px; }}
QLineEdit:hover, QAbstractSpinBox:hover, QComboBox:hover {{ border-color: {c.muted}; }}
QLineEdit:focus, QAbstractSpinBox:focus, QComboBox:focus {{ border: 2px solid {c.accent}; padding: 1px 4px; }}
QAbstractSpinBox:focus {{ padding: 0 1px 0 4px; min-height: 18px; }}
QComboBox:focus {{ padding: 1px 1px 1px 4px; }}
QLineEdit[state="changed"], QComboBox[state="changed"] {{ border-color: {c.accent}; }}
QLineEdit[state="refused"], QComboBox[state="refused"] {{ border-color: {c.error}; }}
QCheckBox[state="changed"] {{ color: {c.accent}; }}
#commandPanel {{ background: {c.window}; border: 1px solid {c.disabled}; border-radius: 6px; }}
#commandPanel QListView {{ background: {c.window}; }}
#modelPopup QListView, #modelPopup QTextBrowser {{ background: {c.base}; border-radius: 4px; }}
QLineEdit:disabled, QAbstractSpinBox:disabled, QComboBox:disabled {{ color: {c.disabled}; background: {c.window};
    border-color: {c.line}; }}
QAbstractSpinBox QLineEdit, QComboBox QLineEdit {{ border: none; padding: 0; min-height: 0; background: transparent; }}
QComboBox::drop-down {{ subcontrol-origin: padding; subcontrol-position: center right; border: none; width: 16px; }}
QComboBox::down-arrow {{ image: url({down}); width: 10px; height: 10px; }}
QComboBox QAbstractItemView {{ border: 1px solid {c.line}; background: {c.base}; padding: 2px;
    selection-background-color: {c.selection}; selection-color: {c.text}; }}
QDialogButtonBox {{ dialogbuttonbox-buttons-have-icons: 0; }}
QAbstractSpinBox::up-button, QAbstractSpinBox::down-button {{ subcontrol-origin: padding; width: 16px; border: none;
    background: transparent; }}
QAbstractSpinBox::up-button {{ subcontrol-position: top right; }}
QAbstractSpinBox::down-button {{ subcontrol-position: bottom right; }}
QAbstractSpinBox::up-button:hover, QAbstractSpinBox::down-button:hover {{ background: {c.raised}; }}
QAbstractSpinBox::up-arrow {{ image: url({up}); width: 8px; height: 8px; }}
QAbstractSpinBox::down-arrow {{ image: url({down}); width: 8px; height: 8px; }}

QCheckBox::indicator, QGroupBox::indicator, QAbstractItemView::indicator {{ width: 14px; height: 14px;
    border: 1px solid {c.muted}; border-radius: 3px; background: {c.base}; }}
QCheckBox::indicator:checked, QGroupBox::indicator:checked, QAbstractItemView::indicator:checked {{
    border-color: {c.accent}; background: {c.accent}; image: url({check}); }}
QCheckBox::indicator:disabled, QGroupBox::indicator:disabled {{ border-color: {c.line}; background: {c.window};
    image: none; }}
QCheckBox::indicator:focus {{ border: 2px solid {c.accent}; width: 12px; height: 12px; }}
QCheckBox::indicator:checked:focus {{ border: 2px solid {c.text}; width: 12px; height: 12px; }}
QRadioButton::indicator {{ width: 14px; height: 14px; border: 1px solid {c.muted}; border-radius: 8px;
    background: {c.base}; }}
QRadioButton::indicator:checked {{ width: 6px; height: 6px; border: 5px solid {c.accent}; background: {c.on_accent}; }}
QRadioButton::indicator:focus {{ border-color: {c.text}; }}

QSlider {{ min-height: 20px; }}
QSlider::groove:horizontal {{ height: 4px; border-radius: 2px; background: {c.line}; }}
QSlider::sub-page:horizontal {{ height: 4px; border-radius: 2px; background: {c.accent}; }}
QSlider::handle:horizontal {{ width: 12px; height: 12px; margin: -5px 0; border-radius: 7px; background: {c.text};
    border: 1px solid {c.window}; }}
QSlider::handle:horizontal:hover {{ background: {c.accent_hover}; }}
QSlider::handle:horizontal:focus {{ border: 2px solid {c.accent}; width: 10px; height: 10px; }}
QSlider::sub-page:horizontal:disabled, QSlider::handle:horizontal:disabled {{ background: {c.disabled}; }}

QProgressBar {{ border: 1px solid {c.line}; border-radius: 4px; background: {c.base}; color: {c.text};
    text-align: center; }}
QProgressBar::chunk {{ background: {c.selection}; border-radius: 3px; }}
QProgressBar#progressBar {{ border-radius: 3px; }}
QProgressBar#progressBar::chunk {{ background: {c.accent}; border-radius: 2px; }}

QTabWidget::pane {{ border: none; border-top: 1px solid {c.line}; }}
QTabBar::tab {{ padding: 5px 12px; border: none; border-bottom: 2px solid transparent; color: {c.muted};
    background: transparent; }}
QTabBar::tab:hover {{ color: {c.text}; }}
QTabBar::tab:selected {{ color: {c.text}; border-bottom-color: {c.accent}; }}
QTabBar::tab:selected:focus {{ background: {c.selection}; }}

QTableView, QTreeView, QListView {{ gridline-color: {c.line}; border: 1px solid transparent; }}
QTableView:focus, QTreeView:focus, QListView:focus {{ border: 1px solid {c.accent}; }}
QTableView::item {{ padding: 0 3px; }}
QHeaderView::section {{ background: {c.window}; color: {c.muted}; border: none; padding: 4px 6px;
    border-bottom: 1px solid {c.line}; font-weight: normal; }}
"""
