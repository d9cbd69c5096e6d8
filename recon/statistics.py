"""What the rows of an evaluation say together: means and spreads as in the papers' tables, and paired tests.

A sample is a volume (or a slice); its scores under several seeds are averaged first, because they are not independent.
"All" is over all volumes, never the mean of the means of the sequences. Where several methods are compared, each p of
a pair comes with one that is corrected for the number of pairs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ALL = "All"
METRICS = ("psnr", "ssim", "nmse", "hfen")
REGIONS = ("whole", "masked")
# Metrics of which less is better.
ERRORS = frozenset({"nmse", "hfen"})

N_LEAST = 6
"""Fewer differences give no p below 0.05 and no interval that is sure to 95 %, whatever they are."""
# More differences are tested by the normal approximation.
_N_EXACT = 50

# sample -> score
Samples = dict[tuple[Any, ...], float]


@dataclass(frozen=True)
class Group:
    """What is comparable: one sequence (or all), pattern, acceleration, grid and region of the image."""

    sequence: str
    mask: str
    acceleration: float
    grid: str
    region: str


@dataclass(frozen=True)
class Spread:
    """Mean, sample standard deviation (None for a single sample), median and number of samples.

    ``samples`` says which, where they have names: two means are comparable over the same samples alone.
    """

    n: int
    mean: float
    sd: float | None
    median: float
    samples: frozenset[Any] = frozenset()


@dataclass(frozen=True)
class Comparison:
    """A paired two-sided Wilcoxon signed-rank test.

    Attributes
    ----------
    n
        Pairs.
    n_zero
        Pairs without a difference, which the test leaves out.
    median_difference
        Median of first − second over all pairs.
    statistic, p
        None where there is nothing to test; ``note`` says why.
    p_holm
        p corrected for all pairs that were compared with this one, see `holm`; None without p, or for a pair by itself.
    """

    n: int
    n_zero: int
    median_difference: float | None
    statistic: float | None
    p: float | None
    note: str = ""
    p_holm: float | None = None


@dataclass(frozen=True)
class Shift:
    """How far one method lies above another, see `shift`.

    Attributes
    ----------
    estimate
        Typical difference of a pair.
    low, high
        Ends of its confidence interval; None where there are too few differences for one.
    """

    estimate: float
    low: float | None
    high: float | None


def collect_samples(
    rows: Iterable[Mapping[str, Any]], metric: str, by: str = "volume"
) -> dict[Group, dict[str, Samples]]:
    """Return the samples of each method in each group.

    Parameters
    ----------
    rows
        Rows of an evaluation; those without scores are passed over.
    metric
        One of `METRICS`.
    by
        What a sample is: ``volume`` and ``slice`` (means over the seeds of the mask), or ``pattern``, every seed of
        every volume: those of one volume are not independent, and say how sure a difference is on these volumes alone.
    """
    found: dict[Group, dict[str, dict[tuple[Any, ...], list[float]]]] = {}
    for row in rows:
        if row["status"] != "done" or row["kind"] != "scores":
            continue
        for region in REGIONS:
            if row[region] is None:
                continue
            scores = row[region][metric]
            values: dict[tuple[Any, ...], float]
            if by == "slice":
                values = {
                    (row["volume"], index): value for index, value in zip(row["slices"], scores["slices"], strict=True)
                }
            else:
                values = {(row["volume"], *([row["seed"]] if by == "pattern" else [])): scores["volume"]}
            for name in (ALL, row["sequence"]):
                group = Group(name, row["mask"], row["acceleration"], row["grid"], region)
                samples = found.setdefault(group, {}).setdefault(row["method"], {})
                for sample, value in values.items():
                    samples.setdefault(sample, []).append(value)
    return {
        group: {
            method: {sample: _mean(values) for sample, values in samples.items()} for method, samples in methods.items()
        }
        for group, methods in found.items()
    }


def spread(values: Sequence[float] | Samples) -> Spread:
    """Return mean and spread; values that are no number (a slice without content) are left out.

    Perfect volumes have an infinite PSNR, and then so has the mean.
    """
    if isinstance(values, dict):
        named = {sample: value for sample, value in values.items() if not math.isnan(value)}
        return replace(spread(list(named.values())), samples=frozenset(named))
    numbers = [value for value in values if not math.isnan(value)]
    if not numbers:
        return Spread(0, math.nan, None, math.nan)
    mean = _mean(numbers)
    sd = float(np.std(numbers, ddof=1)) if len(numbers) > 1 and math.isfinite(mean) else None
    return Spread(len(numbers), mean, sd, _median(numbers))


def compare(first: Mapping[Any, float], second: Mapping[Any, float]) -> Comparison:
    """Test the samples that two methods share.

    The test is exact for up to 50 pairs, whether or not differences are tied, and by the normal approximation for more.

    References
    ----------
    Wilcoxon, Individual comparisons by ranking methods, Biometrics Bulletin 1:80 (1945).
    """
    shared = [sample for sample in first if sample in second]
    pairs = [(first[sample], second[sample]) for sample in shared]
    finite = [(a, b) for a, b in pairs if math.isfinite(a) and math.isfinite(b)]
    notes = []
    if len(finite) < len(pairs):
        n_left_out = len(pairs) - len(finite)
        what = "1 pair" if n_left_out == 1 else f"{n_left_out} pairs"
        notes.append(f"{what} with an infinite or undefined score {'was' if n_left_out == 1 else 'were'} left out")
    differences = np.array([a - b for a, b in finite], np.float64)
    n, n_zero = differences.size, int((differences == 0).sum())
    if not n:
        return Comparison(0, 0, None, None, None, "; ".join([*notes, "no pairs"]))
    median = float(np.median(differences))
    different = differences[differences != 0]
    if not different.size:
        return Comparison(n, n_zero, median, None, None, "; ".join([*notes, "no pair differs: nothing to test"]))
    statistic, p = signed_rank_test(different)
    if different.size < N_LEAST:
        least = 2.0 ** (1 - different.size)
        what = "1 pair" if different.size == 1 else f"{different.size} pairs"
        notes.append(f"{what} cannot give a p below {least:.3g}: no conclusion either way")
    return Comparison(n, n_zero, median, statistic, p, "; ".join(notes))


def compare_all(samples: Mapping[str, Samples]) -> list[tuple[str, str, Comparison]]:
    """Compare every pair of methods, in the order of the methods, and correct p for the number of pairs."""
    pairs = list(combinations(samples, 2))
    found = [compare(samples[one], samples[other]) for one, other in pairs]
    corrected = holm([comparison.p for comparison in found])
    return [
        (one, other, replace(comparison, p_holm=p))
        for (one, other), comparison, p in zip(pairs, found, corrected, strict=True)
    ]


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Return each p corrected for the others, so that below 0.05 the chance of any false find among them is 5 %.

    1. Of m values in ascending order, the k-th is multiplied by m − k + 1.
    2. None becomes less than the one before it, and none more than 1.

    Parameters
    ----------
    values
        p of each test; None where there was nothing to test, which does not count and stays None.

    References
    ----------
    Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6:65 (1979).
    """
    tested = sorted((p, place) for place, p in enumerate(values) if p is not None)
    corrected: list[float | None] = [None] * len(values)
    largest = 0.0
    for rank, (p, place) in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - rank) * p))
        corrected[place] = largest
    return corrected


def signed_rank_test(differences: Any) -> tuple[float, float]:
    """Return the statistic (the smaller sum of ranks) and the two-sided p of differences that are not zero.

    Up to 50 differences, p is counted: every sign is as likely as its opposite, so the sums of ranks of all 2ⁿ choices
    of signs are their distribution, also where ranks are shared.
    """
    values = np.asarray(differences, np.float64)
    _, place, shared = np.unique(np.abs(values), return_inverse=True, return_counts=True)
    # Twice the average rank, which is whole.
    doubled = (2 * np.cumsum(shared) - shared + 1)[place]
    total = int(doubled.sum())
    positive = int(doubled[values > 0].sum())
    smaller = min(positive, total - positive)
    n = values.size
    if n > _N_EXACT:
        variance = (n * (n + 1) * (2 * n + 1) - float((shared**3 - shared).sum()) / 2) / 24
        z = (total / 2 - smaller) / 2 / math.sqrt(variance)
        return smaller / 2, math.erfc(z / math.sqrt(2))
    return smaller / 2, min(1.0, 2 * float(_likely_sums(doubled)[: smaller + 1].sum()))


def shift(differences: Any, confidence: float = 0.95) -> Shift:
    """Return Hodges and Lehmann's estimate of a paired difference, with the interval that goes with the test.

    1. Every two differences, and each with itself, give a mean: n (n + 1) / 2 of them.
    2. The estimate is the median of the means.
    3. The interval holds the shifts that `signed_rank_test` would not reject. Its ends are the k-th smallest and the
       k-th largest mean: k sums of ranks, from 0 on, are together no more likely than half of 1 − confidence.

    The interval is exact for up to 50 differences that are not tied, and wider than need be where they are; for more it
    is by the normal approximation.

    Parameters
    ----------
    differences
        At least one; those that are zero count, too.
    confidence
        How often the interval holds the shift.

    References
    ----------
    Hodges and Lehmann, Estimates of location based on rank tests, Annals of Mathematical Statistics 34:598 (1963).
    Hollander and Wolfe, Nonparametric statistical methods, 2nd edition (1999), sections 3.2 and 3.3.
    """
    values = np.asarray(differences, np.float64)
    n = values.size
    means = (values[:, None] + values)[np.triu_indices(n)] / 2
    tail = (1 - confidence) / 2
    if n > _N_EXACT:
        middle, sd = n * (n + 1) / 4, math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
        place = math.floor(middle + NormalDist().inv_cdf(tail) * sd) + 1
    else:
        place = int(np.searchsorted(np.cumsum(_likely_sums(np.arange(1, n + 1))), tail, side="right"))
    estimate = float(np.median(means))
    if place < 1:
        return Shift(estimate, None, None)
    ends = place - 1, means.size - place
    low, high = np.partition(means, ends)[list(ends)].tolist()
    return Shift(estimate, low, high)


def _likely_sums(ranks: Any) -> Any:
    """Return how likely each sum of ranks is, from 0 on, where every rank counts or not with equal chance."""
    total = int(np.sum(ranks))
    likely = np.zeros(total + 1)
    likely[0] = 1.0
    for rank in ranks:
        with_rank = np.zeros_like(likely)
        with_rank[rank:] = likely[: total + 1 - rank]
        likely = (likely + with_rank) / 2
    return likely


def _mean(values: Sequence[float]) -> float:
    # fsum: the same mean in any order, so that tables do not depend on who was first.
    if all(math.isfinite(value) for value in values):
        return math.fsum(values) / len(values)
    return math.nan if any(math.isnan(value) for value in values) else math.inf


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2 or ordered[middle - 1] == ordered[middle]:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2
