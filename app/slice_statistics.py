"""The scores of the results of a series slice by slice, and what the slices that two of them share say of the two.

All results of a series are scored against its one reference, so slices pair whatever the results are made of; what else
than the method differs is said beside the numbers. The slices of one volume are not independent samples.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from app.comparison import data_differences, relative, titles_of
from app.output import count
from app.views.statistics_table import StatisticsRow
from recon import statistics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.results import Result

METRICS = ("psnr", "ssim", "nmse")
_N_SHARED = 2


def scores_of(result: Result, metric: str, data_range: float) -> dict[int, float]:
    """Return the scores of the finished slices of a result, in order, but for those that are infinite or undefined.

    Parameters
    ----------
    result
        Complete or not.
    metric
        One of `METRICS`.
    data_range
        Signal that they are relative to, see `app.comparison.relative`.
    """
    scores = {}
    for index in result.finished:
        final = result.slices[index].final
        if final is not None and final.scores is not None:
            scores[index] = relative(final.scores, result.data_range, data_range)[metric]
    return {index: score for index, score in scores.items() if math.isfinite(score)}


def _n_exact(result: Result, metric: str) -> int:
    """Return how many finished slices are equal to their reference, whose PSNR is infinite."""
    finals = (result.slices[index].final for index in result.finished)
    scores = [final.scores[metric] for final in finals if final is not None and final.scores is not None]
    return scores.count(math.inf)


def usable(results: Sequence[Result], metric: str) -> list[Result]:
    """Return the results that slices of others can be paired with: those with scores of two slices or more."""
    return [result for result in results if len(scores_of(result, metric, result.data_range)) >= _N_SHARED]


def compared(results: Sequence[Result], baseline: Result, metric: str) -> list[StatisticsRow]:
    """Compare the results of a series with one of them.

    Parameters
    ----------
    results
        All of them.
    baseline
        One of `usable`.
    metric
        One of `METRICS`.

    Returns
    -------
    rows
        One of each result, in their order. p is corrected for as many as could be tested, as in an evaluation.
    """
    titles = titles_of(results)
    rows = [_row(result, title, baseline, metric) for result, title in zip(results, titles, strict=True)]
    tests = [None if row.shift is None or row.shift.low is None else row.comparison for row in rows]
    if sum(test is not None and test.p is not None for test in tests) < 2:
        return rows
    corrected = statistics.holm([None if test is None else test.p for test in tests])
    return [
        row if test is None else replace(row, comparison=replace(test, p_holm=p))
        for row, test, p in zip(rows, tests, corrected, strict=True)
    ]


def _row(result: Result, title: str, baseline: Result, metric: str) -> StatisticsRow:
    others = scores_of(baseline, metric, baseline.data_range)
    if result is baseline:
        return StatisticsRow(title, others, tuple(others), _quartiles(list(others.values())), is_baseline=True)
    own = scores_of(result, metric, baseline.data_range)
    shared = tuple(index for index in own if index in others)
    if len(shared) < _N_SHARED:
        return StatisticsRow(title, own, shared, reason=_reason(result, own, shared, metric))
    first, second = ({index: scores[index] for index in shared} for scores in (own, others))
    return StatisticsRow(
        title,
        own,
        shared,
        _quartiles(list(first.values())),
        _tested(statistics.compare(first, second)),
        statistics.shift([first[index] - second[index] for index in shared]),
        remark=_remark(result, baseline, metric),
    )


def _tested(comparison: statistics.Comparison) -> statistics.Comparison:
    """Take p away where no p could say anything: few slices, or few that differ."""
    if comparison.n - comparison.n_zero < statistics.N_LEAST:
        return replace(comparison, p=None)
    return comparison


def _quartiles(scores: Sequence[float]) -> tuple[float, float, float]:
    low, median, high = np.percentile(scores, [25, 50, 75]).tolist()
    return low, median, high


def _reason(result: Result, own: dict[int, float], shared: tuple[int, ...], metric: str) -> str:
    """Why a result is left out."""
    n_own = len(scores_of(result, metric, result.data_range))
    if n_own == 1:
        return "left out: it has one slice only"
    if n_own == 0 and _n_exact(result, metric):
        return "left out: its slices are exact, which is an infinite PSNR"
    if n_own == 0:
        return "left out: no slice has a score" + (" yet" if result.state == "running" else "")
    if not own:
        return "left out: its SSIM is relative to the signal of other slices"
    return f"left out: it shares {'one slice' if shared else 'no slice'} with the baseline"


def _remark(result: Result, baseline: Result, metric: str) -> str:
    names = data_differences(result, baseline)
    said = [f"Another {' and another '.join(names)} than the baseline."] if names else []
    n_exact = _n_exact(result, metric) + _n_exact(baseline, metric)
    if n_exact:
        said.append(
            f"Left out: {count(n_exact, 'slice')} of infinite PSNR, which {'are' if n_exact > 1 else 'is'} exact."
        )
    return " ".join(said)
