"""What fits a few words, best first."""

from __future__ import annotations

import pytest

from app.command_list import COMMANDS
from app.finding import Choice, found

CHOICES = [
    Choice(command.identifier, command.text, command.menu, lambda: None, command.keys[0] if command.keys else "")
    for command in COMMANDS
] + [Choice("pcrnn-s", "PC-RNN-S", "Model", lambda: None), Choice("oucr", "OUCR", "Model", lambda: None)]


def keys(text, recent=(), choices=CHOICES):
    return [choice.key for choice in found(choices, text, recent)]


@pytest.mark.parametrize(
    ("text", "best"),
    [
        ("reconstruct v", "reconstructVolume"),
        ("volume", "reconstructVolume"),
        ("rv", "reconstructVolume"),
        ("recvol", "reconstructVolume"),
        ("recontruct volume", "reconstructVolume"),  # a slip of the pen
        ("F5", "reconstructSlice"),
        ("ctrl+e", "export"),
        ("PCRNN", "pcrnn-s"),
        ("pc-rnn", "pcrnn-s"),
        ("model oucr", "oucr"),
        ("oucr model", "oucr"),
        ("phase", "component-phase"),
        ("view inferno", "colours-inferno"),
        ("window noise", "level-noise"),
    ],
)
def test_the_best_one_comes_first(text, best):
    assert keys(text)[0] == best


@pytest.mark.parametrize("text", ["zzz", "volume zzz", "vr", "x" * 300, "(", "\\", "*"])
def test_what_fits_nothing_finds_nothing(text):
    assert keys(text) == []


def test_without_words_recent_choices_come_first_and_the_rest_keeps_its_order():
    assert keys("") == keys("  ") == [choice.key for choice in CHOICES]
    assert keys("", ["export", "gone", "oucr"])[:3] == ["export", "oucr", CHOICES[0].key]
    assert sorted(keys("", ["export", "oucr"])) == sorted(choice.key for choice in CHOICES)


def test_of_equals_the_recent_one_then_the_one_that_can_be_done_comes_first():
    choices = [Choice(key, f"Open {key}", "File", lambda: None, can_run=key != "a") for key in "abc"]
    assert keys("open", (), choices) == ["b", "c", "a"]
    assert keys("open", ["c"], choices) == ["c", "b", "a"]
    assert keys("open", ["a"], choices) == ["a", "b", "c"]
    # A better one stays the first, whatever was chosen last.
    assert keys("open a", ["c"], choices) == ["a"]


def test_whole_titles_are_better_than_parts_of_them():
    choices = [Choice(str(n), title, "View", lambda: None) for n, title in enumerate(("Slice next", "Next slice"))]
    assert keys("next slice", (), choices) == ["1", "0"]
