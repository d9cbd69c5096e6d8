"""What the rows of an evaluation say together: means and spreads as in the papers' tables, and paired tests.

A sample is a volume (or a slice); its scores under several seeds are averaged first, because they are not independent.
"All" is over all volumes, never the mean of the means of the sequences.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ALL = "All"
METRICS = ("psnr", "ssim", "nmse", "hfen")
REGIONS = ("whole", "masked")
# Metrics of which less is better.
ERRORS = frozenset({"nmse", "hfen"})

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
    """Mean, sample standard deviation (None for a single sample), median and number of samples."""

    n: int
    mean: float
    sd: float | None
    median: float


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
    """

    n: int
    n_zero: int
    median_difference: float | None
    statistic: float | None
    p: float | None
    note: str = ""


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
        What a sample is: ``volume`` or ``slice``.
    """
    found: dict[Group, dict[str, dict[tuple[Any, ...], list[float]]]] = {}
    for row in rows:
        if row["status"] != "done" or row["kind"] != "scores":
            continue
        for region in REGIONS:
            if row[region] is None:
                continue
            scores = row[region][metric]
            values: dict[tuple[Any, ...], float] = {(row["volume"],): scores["volume"]}
            if by == "slice":
                values = {
                    (row["volume"], index): value for index, value in zip(row["slices"], scores["slices"], strict=True)
                }
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


def spread(values: Sequence[float]) -> Spread:
    """Return mean and spread; values that are no number (a slice without content) are left out.

    Perfect volumes have an infinite PSNR, and then so has the mean.
    """
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
        notes.append(f"{len(pairs) - len(finite)} pairs with an infinite or undefined score were left out")
    differences = np.array([a - b for a, b in finite], np.float64)
    n, n_zero = differences.size, int((differences == 0).sum())
    if not n:
        return Comparison(0, 0, None, None, None, "; ".join([*notes, "no pairs"]))
    median = float(np.median(differences))
    different = differences[differences != 0]
    if not different.size:
        return Comparison(n, n_zero, median, None, None, "; ".join([*notes, "no pair differs: nothing to test"]))
    statistic, p = signed_rank_test(different)
    least = 2.0 ** (1 - different.size)
    if least > 0.05:
        notes.append(f"{different.size} pairs cannot give a p below {least:.3g}: no conclusion either way")
    return Comparison(n, n_zero, median, statistic, p, "; ".join(notes))


def compare_all(samples: Mapping[str, Samples]) -> list[tuple[str, str, Comparison]]:
    """Compare every pair of methods, in the order of the methods."""
    return [(one, other, compare(samples[one], samples[other])) for one, other in combinations(samples, 2)]


def signed_rank_test(differences: Any) -> tuple[float, float]:
    """Return statistic and two-sided p of differences that are not zero."""
    from scipy.stats import wilcoxon

    differences = np.asarray(differences, np.float64)
    if len(np.unique(np.abs(differences))) == differences.size or differences.size > 50:
        result = wilcoxon(differences, alternative="two-sided")
        return float(result.statistic), float(result.pvalue)
    return _exact_with_ties(differences)


def _exact_with_ties(differences: Any) -> tuple[float, float]:
    """The exact distribution over all signs, by counting the sums of the (doubled, hence whole) average ranks."""
    from scipy.stats import rankdata

    doubled = np.rint(2 * rankdata(np.abs(differences))).astype(int)
    total = int(doubled.sum())
    ways = np.zeros(total + 1)
    ways[0] = 1.0
    for rank in doubled:
        moved = np.zeros_like(ways)
        moved[rank:] = ways[: total + 1 - rank]
        ways = (ways + moved) / 2
    positive = int(doubled[differences > 0].sum())
    smaller = min(positive, total - positive)
    return smaller / 2, min(1.0, 2 * float(ways[: smaller + 1].sum()))


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
