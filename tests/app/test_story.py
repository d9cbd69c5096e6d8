"""The story of weights in a terminal: nothing wider than a screen, scores as a table, and any story can be shown."""

from __future__ import annotations

import pytest

from app.story import story_text
from recon.models import get_card
from recon.models.fit import weights_by_coils


def test_a_bundled_story_fits_a_terminal_and_lists_every_score_and_source():
    story = weights_by_coils(get_card("pcrnn-s"))[1].story
    text = story_text(story)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 120
    for score in story["scores"]:
        row = f"{score['scan']} {score['mask']} {score['acceleration']:g} {score['n']} {score['psnr']['mean']:.2f}"
        assert any(" ".join(line.split()).startswith(row) for line in lines), row
    for source in story["data"]["sources"]:
        assert any(f"{source['group']} · {source['volume']} · {source['licence']}" in line for line in lines)
    assert "Research use only." in text
    assert "parameters" not in {line.strip().split("  ")[0] for line in lines}


@pytest.mark.parametrize(
    "scores", ["none yet", 3, [1, 2], [{"scan": "knee"}], [{"scan": "a", "psnr": 3}], None, {"psnr": {"mean": 3}}]
)
def test_scores_in_another_form_are_shown_as_they_are(scores):
    text = story_text({"preset": "mine", "scores": scores, "data": "a hundred knees", "recipe": ["by hand"]})
    assert "scores" in text
    assert "a hundred knees" in text
    assert "by hand" in text


def test_settings_that_nobody_chose_are_left_out():
    text = story_text({"recipe": {"loss": "l1", "kspace": "", "overrides": {}, "seed": 0}})
    assert "loss l1, seed 0" in text


def test_a_list_of_mixed_entries_loses_none():
    lines = story_text({"data": {"sources": [{"volume": "anna", "licence": "MIT"}, "a knee"]}}).splitlines()
    assert any("anna · MIT" in line for line in lines)
    assert any("a knee" in line for line in lines)
