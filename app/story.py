"""The story of weights as a terminal shows it: facts, data, recipe, and scores as a table."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from app.output import table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_WIDTH = 96
_SCORES = ("scan", "mask", "R", "n", "PSNR dB", "sd", "SSIM", "zero-filled dB", "gain dB")


def story_text(story: Mapping[str, Any]) -> str:
    """Return what weights say of themselves, without the parameters, which the card has.

    A story is its author's: what is not in the form that the workstation writes is shown as it is.
    """
    rows: list[tuple[str, str]] = []
    scores = ""
    for key, value in story.items():
        if key == "parameters":
            continue
        if key == "scores":
            try:
                scores = table([_score(score) for score in value], _SCORES, indent="  ")
                continue
            except (KeyError, TypeError, ValueError, AttributeError):
                pass
        if key == "recipe" and isinstance(value, dict):
            # Empty settings are those that nobody chose.
            value = {name: item for name, item in value.items() if item not in ("", {}, [])}
        rows += _wrapped(key.replace("_", " "), list(_lines(value)))
    return "\n\n".join(part for part in (table(rows, indent="  "), scores) if part)


def value_text(value: Any) -> str:
    """Return a value of a story or a card in one line."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {value_text(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(value_text, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _lines(value: Any) -> Iterator[str]:
    """One line for a value, and one for each entry of a list of entries in it."""
    if not isinstance(value, dict):
        yield value_text(value)
        return
    listed = {key: item for key, item in value.items() if isinstance(item, list) and item and isinstance(item[0], dict)}
    yield value_text({key: item for key, item in value.items() if key not in listed})
    for items in listed.values():
        for item in items:
            yield " · ".join(map(value_text, item.values())) if isinstance(item, dict) else value_text(item)


def _wrapped(title: str, lines: list[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        for part in textwrap.wrap(line, _WIDTH, subsequent_indent="  " if len(lines) > 1 else "") or [""]:
            yield title, part
            title = ""


def _score(score: Mapping[str, Any]) -> tuple[str, ...]:
    psnr, before = score["psnr"], score["zero_filled_psnr"]
    return (
        str(score["scan"]),
        str(score["mask"]),
        f"{score['acceleration']:g}",
        str(score["n"]),
        f"{psnr['mean']:.2f}",
        f"{psnr['sd']:.2f}",
        f"{score['ssim']['mean']:.3f}",
        f"{before['mean']:.2f}",
        f"{psnr['mean'] - before['mean']:+.2f}",
    )
