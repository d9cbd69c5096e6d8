"""A model's card as rich text: what it is, why it cannot be used, what it needs, what its weights have shown."""

from __future__ import annotations

from html import escape
from typing import Any

from app import theme
from app.messages import sentence

NO_WEIGHTS = "no weights yet"
_N_SCORES = 4


def short_reason(card: Any, problem: str) -> str:
    """Return in two or three words why a model cannot be used, for its line in a list; empty when it can."""
    if not problem:
        return ""
    if getattr(card, "problem", ""):
        return "not installed" if getattr(card, "requires_program", "") else "broken"
    return "other coils" if card.available else NO_WEIGHTS if card.needs_training else "not here"


def card_html(card: Any, problem: str) -> str:
    """Return the card.

    Parameters
    ----------
    card
        Card of a preset.
    problem
        Why it cannot be used with the current series; empty when it can.
    """
    colours = theme.colours()
    name = "" if card.name == card.title else f"{escape(card.name)} · "
    parts = [
        f"<p style='margin:0'><b>{escape(card.title)}</b><br>"
        f"<span style='color:{colours.muted}'>{name}{escape(card.group)}</span></p>"
    ]
    if problem:
        if short_reason(card, problem) == NO_WEIGHTS:
            problem = "No weights yet: train it, or install some."
        parts.append(f"<p style='color:{colours.warning}; margin-top:8px'>{escape(problem)}</p>")
    parts.append(f"<p style='margin-top:8px'>{escape(card.summary)}</p>")
    parts += [f"<p style='margin-top:8px'>{escape(sentence(note))}</p>" for note in _size_notes(card)]
    rows = "".join(
        f"<tr><td style='color:{colours.muted}; padding:1px 10px 1px 0'>{escape(key)}</td>"
        f"<td style='padding:1px 0'>{value}</td></tr>"
        for key, value in _rows(card)
        if value
    )
    parts.append(f"<table cellspacing='0' style='margin-top:8px'>{rows}</table>")
    return "".join(parts)


def _rows(card: Any) -> list[tuple[str, str]]:
    from recon.models.card import CONSISTENCY_WORDS  # a card is read long after the window is up

    needs = [
        "training" if card.needs_training else "no training",
        "sensitivity maps" if card.needs_maps else "",
        "any number of coils" if card.any_coils else "",
        card.requires_program.upper() if card.requires_program else "",
    ]
    rows = [("Paper", escape(card.paper)), ("Needs", " · ".join(need for need in needs if need))]
    if not card.problem:
        rows.append(("Data consistency", CONSISTENCY_WORDS[card.data_consistency]))
    if card.source:
        rows.append(("Plug-in of", escape(card.source)))
    rows += [(_title(name), escape(_value(value))) for name, value in card.parameters.items()]
    rows += [("Weights", _weights(weights)) for weights in card.weights]
    limits = dict.fromkeys(weights.story.get("limits", "") for weights in card.weights)
    rows += [("Limits", escape(text)) for text in limits]
    return rows


def _weights(weights: Any) -> str:
    """What a file of weights says of itself: coils, accelerations, and its scores on real scans."""
    story = weights.story
    owner = "" if weights.is_bundled else "yours: "
    lines = [f"{owner}{weights.path.stem} · {weights.n_coils} coil{'s' if weights.n_coils != 1 else ''}"]
    if story.get("accelerations"):
        lines[0] += " · trained at " + ", ".join(f"{factor:g}×" for factor in story["accelerations"])
    lines[0] += f" · {weights.n_parameters:,} parameters"
    for score in (story.get("scores") or ())[:_N_SCORES]:
        try:
            gain = f"{score['psnr']['mean']:.1f} dB (zero-filled {score['zero_filled_psnr']['mean']:.1f})"
            lines.append(f"{score['scan']}, {score['mask']} {score['acceleration']:g}×: {gain}")
        except (KeyError, TypeError, ValueError):
            continue
    return "<br>".join(escape(line) for line in lines)


def _size_notes(card: Any) -> list[str]:
    """Where the weights are of a smaller network than the card describes."""
    from recon.models.size import size_note

    return list(dict.fromkeys(note for weights in card.weights if (note := size_note(card, weights))))


def _title(name: str) -> str:
    words = name.strip("_").removeprefix("n_").replace("_", " ")
    return words[:1].upper() + words[1:]


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_value, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
