"""The heading of a part of a form that opens and closes."""

import pytest
from PySide6.QtWidgets import QLabel

from app.views.section import Section


@pytest.fixture
def section(qtbot):
    widget = Section("Parameters", QLabel("inside"), "parametersButton", "What is inside")
    qtbot.addWidget(widget)
    widget.set_summary("λ auto · Iterations 200 · Tolerance 0.0001")
    widget.show()
    qtbot.waitExposed(widget)
    return widget


@pytest.mark.parametrize("width", range(120, 460, 20))
def test_a_summary_is_never_cut_inside_a_number(section, qtbot, width):
    section.resize(width, section.height())
    qtbot.waitUntil(lambda: section.width() == max(width, section.minimumWidth()))
    allowed = ("", "λ auto …", "λ auto · Iterations 200 …", "λ auto · Iterations 200 · Tolerance 0.0001")
    assert section.summary.text() in allowed
    assert section.summary.toolTip() == allowed[-1]


def test_a_wide_heading_says_all_of_it(section, qtbot):
    section.resize(600, section.height())
    qtbot.waitUntil(lambda: section.summary.text().endswith("0.0001"))
    section.button.click()
    assert section.content.isVisible()
    assert not section.summary.isVisible()
