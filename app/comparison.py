"""Which results stand side by side: one of each recipe that was run on a series, on the slice in view."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from recon.masks import TITLES, MaskSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from app.results import Result, Step
    from app.session import Session
    from recon.data import Series
    from recon.request import Request

ZERO_FILLED = "zero-filled"
"""Name of the first column."""
# Beside zero-filled and reference, what a screen has room for.
N_MOST = 6


@dataclass(frozen=True)
class Contender:
    """A recipe in the comparison.

    Attributes
    ----------
    key
        Name of its column, the same on every slice and as long as there is a result of the recipe; `ZERO_FILLED` where
        its images are those of that column.
    title
        What sets it apart from the others.
    result
        The newest result of the recipe that has the slice in view, or without one the newest at all.
    """

    key: str
    title: str
    result: Result


@dataclass(frozen=True)
class Comparison:
    """What stands side by side.

    Attributes
    ----------
    contenders
        In the order in which the recipes were first run.
    zero_filled_title
        Says of which pattern the zero-filled image is, where there are several.
    data_range
        Signal that the scores of the zero-filled image are relative to; 0 without a reference.
    """

    contenders: tuple[Contender, ...]
    zero_filled_title: str
    data_range: float

    def scores(self, contender: Contender, step: Step) -> dict[str, float] | None:
        """Return the scores of a step for a comparison with the others; None without a reference."""
        return None if step.scores is None else relative(step.scores, contender.result.data_range, self.data_range)


def compared(session: Session) -> Comparison | None:
    """Return what is compared for the series in view; None while the layout is another, or there is no result.

    Of more than `N_MOST` recipes those that were run last are taken, and always that of the result in view.
    """
    series = session.series
    results = session.shelf.of(series)
    if session.result is not None and session.result not in results:
        results.append(session.result)  # what was cancelled is in view, though on no shelf
    if session.view.layout != "comparison" or series is None or not results:
        return None
    groups = _by_recipe(results)
    latest = sorted(groups, key=lambda found: (session.result in found, found[-1].number))[-N_MOST:]
    # Not by a number: the first result of a recipe is also the first to go when there are too many.
    chosen = {repr(_recipe(found[0].request, series)): _shown(found, session) for found in groups if found in latest}
    masks = [_recipe(result.request, series).mask for result in chosen.values()]
    titles = titles_of(list(chosen.values()))
    contenders = tuple(
        Contender(key, title, result) for (key, result), title in zip(chosen.items(), titles, strict=True)
    )
    item = session.slice_result
    has_own = item is not None and item.last_of("zero-filled") is not None
    if has_own and session.result is not None:
        request, data_range = session.result.request, session.result.data_range
    else:
        reference = None if session.preview is None else session.preview.reference
        request, data_range = session.request, 0.0 if reference is None else float(reference.max())
    mask = _recipe(request, series).mask
    title = _joined("Zero-filled", _pattern(mask, [*masks, mask]))
    contenders = tuple(
        replace(one, key=ZERO_FILLED, title=title)
        if one.result.is_zero_filled and _sampling(one.result.request, series) == _sampling(request, series)
        else one
        for one in contenders
    )
    return Comparison(contenders, title, data_range)


def titles_of(results: Sequence[Result]) -> list[str]:
    """Return what sets each of these results of a series apart from the others."""
    masks = [_recipe(result.request, result.series).mask for result in results]
    titles = [_joined(result.method, _pattern(mask, masks)) for result, mask in zip(results, masks, strict=True)]
    n_alike = Counter(titles)
    # What a title does not tell, such as another seed, the number of the result stands for.
    return [
        f"#{result.number} {title}" if n_alike[title] > 1 else title
        for result, title in zip(results, titles, strict=True)
    ]


def relative(scores: dict[str, float], own: float, data_range: float) -> dict[str, float]:
    """Return scores that are relative to one signal as they are relative to another, both maxima of the reference.

    A result of one slice is scored relative to this slice, one of a volume relative to the volume. From one to the
    other PSNR moves by the ratio; SSIM would have to be measured anew, and is NaN.
    """
    if own == data_range or own <= 0 or data_range <= 0:
        return scores
    return scores | {"psnr": scores["psnr"] + 20 * math.log10(data_range / own), "ssim": math.nan}


def data_differences(result: Result, other: Result) -> tuple[str, ...]:
    """Return in what the data differ that two results of a series are made of: sampling pattern, grid, noise samples.

    The reference is that of the series, whatever was asked for.
    """
    names = ("sampling pattern", "grid", "noise samples")
    own, others = (_sampling(one.request, one.series) for one in (result, other))
    return tuple(name for name, one, two in zip(names, own, others, strict=True) if one != two)


def shown_step(result: Result, session: Session) -> Step | None:
    """Return what a result shows of the slice in view: its last image, of the result in view the scrubber's."""
    if result is session.result:
        return session.step
    item = result.slices.get(session.slice_index)
    return None if item is None or not item.steps else item.steps[item.shown_at(len(item.steps))]


def _by_recipe(results: Iterable[Result]) -> list[list[Result]]:
    recipes: list[tuple[Request, list[Result]]] = []
    for result in results:
        recipe = _recipe(result.request, result.series)
        own = next((found for known, found in recipes if known == recipe), None)
        if own is None:
            own = []
            recipes.append((recipe, own))
        own.append(result)
    return [found for _, found in recipes]


def _recipe(request: Request, series: Series) -> Request:
    """Return a request without what makes no other recipe of it.

    That is its slices, another name of its model, and a mask where the scanner's is used.
    """
    from recon.models import ALIASES  # where there are results, it is there; the window starts without

    recipe = replace(request, slices=None, model=ALIASES.get(request.model, request.model))
    return recipe if series.acquired_mask is None else replace(recipe, mask=MaskSpec())


def _sampling(request: Request, series: Series) -> tuple[Any, ...]:
    """Return what the zero-filled image depends on."""
    return _recipe(request, series).mask, request.grid, request.noise


def _shown(found: list[Result], session: Session) -> Result:
    """Of the results of a recipe, the one for the slice in view."""
    if session.result in found and session.slice_index in session.result.slices:
        return session.result
    having = [result for result in found if session.slice_index in result.slices]
    return (having or found)[-1]


def _pattern(mask: MaskSpec, masks: list[MaskSpec]) -> str:
    """What sets a pattern apart from the others; empty where nothing does."""
    if len({other.title for other in masks}) == 1:
        return ""
    is_of_one_kind = len({other.kind for other in masks}) == 1 and mask.kind in TITLES
    return f"{mask.acceleration:g}×" if is_of_one_kind else mask.title


def _joined(*words: str) -> str:
    return " · ".join(filter(None, words))
