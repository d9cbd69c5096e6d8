"""Statistics: the signed-rank test is scipy's, says what it cannot say, and is corrected for the number of pairs."""

import statistics as stdlib_statistics

import numpy as np
import pytest
from scipy import stats

from recon import statistics


def samples(values):
    return {(index,): value for index, value in enumerate(values)}


def test_wilcoxon_golden(vectors):
    golden = np.load(vectors / "metrics.npz")
    result = statistics.compare(samples(golden["wilcoxon/a"]), samples(golden["wilcoxon/b"]))
    assert [result.statistic, result.p] == pytest.approx(golden["wilcoxon/two-sided"], rel=1e-6)
    assert result.n == 40
    assert result.median_difference == pytest.approx(np.median(golden["wilcoxon/a"] - golden["wilcoxon/b"]))
    assert result.note == ""


def test_wilcoxon_says_what_it_cannot_say():
    equal = statistics.compare(samples([1.0, 2.0]), samples([1.0, 2.0]))
    assert (equal.p, equal.n, equal.n_zero, equal.median_difference) == (None, 2, 2, 0)
    assert "no pair differs" in equal.note
    single = statistics.compare(samples([2.0]), samples([1.0]))
    assert single.p == 1.0
    assert "no conclusion" in single.note
    nothing = statistics.compare({}, samples([1.0]))
    assert (nothing.n, nothing.p, nothing.note) == (0, None, "no pairs")
    perfect = statistics.compare(samples([float("inf"), 3.0, 4.0]), samples([1.0, 1.0, 1.0]))
    assert perfect.n == 2
    assert "left out" in perfect.note


def test_wilcoxon_with_ties_is_exact():
    differences = np.array([1.0, 1.0, 2.0, -1.0, 3.0, 3.0, -2.0, 4.0])
    ranks = np.array([2, 2, 4.5, 2, 6.5, 6.5, 4.5, 8])
    signs = np.array(np.meshgrid(*[[0, 1]] * 8)).reshape(8, -1).T
    sums = signs @ ranks
    smaller = min(ranks[differences > 0].sum(), ranks[differences < 0].sum())
    expected = min(1.0, 2 * (sums <= smaller).mean())
    assert statistics.signed_rank_test(differences) == (smaller, pytest.approx(expected))
    zeros = statistics.compare(samples([*differences, 0.0]), samples([0.0] * 9))
    assert (zeros.n, zeros.n_zero, zeros.p) == (9, 1, pytest.approx(expected))


def test_p_is_corrected_for_the_number_of_pairs():
    # 0.01 × 4, 0.013 × 3 which is not less than the one before, 0.03 × 2, 0.9 × 1; none for what was not tested.
    assert statistics.holm([0.03, None, 0.01, 0.9, 0.013]) == pytest.approx([0.06, None, 0.04, 0.9, 0.04])
    assert statistics.holm([0.6, 0.7]) == [1.0, 1.0]
    assert statistics.holm([0.2]) == [0.2]
    assert statistics.holm([]) == []


def test_holm_seldom_finds_what_is_not_there():
    rng = np.random.default_rng(0)
    n_false = n_uncorrected = 0
    for _ in range(200):
        methods = {name: samples(rng.normal(size=12)) for name in "abcd"}
        found = [comparison for *_, comparison in statistics.compare_all(methods)]
        assert len(found) == 6
        n_false += any(comparison.p_holm < 0.05 for comparison in found)
        n_uncorrected += any(comparison.p < 0.05 for comparison in found)
    assert n_false <= 0.05 * 200 < n_uncorrected


@pytest.mark.parametrize("n", [1, 6, 30, 50, 60, 300])
def test_wilcoxon_equals_scipy(n):
    rng = np.random.default_rng(n)
    differences = rng.normal(0.3, 1, n)
    expected = stats.wilcoxon(differences)
    assert statistics.signed_rank_test(differences) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-9)
    if n > 50:
        rounded = np.round(differences, 1)
        rounded = rounded[rounded != 0]
        expected = stats.wilcoxon(rounded, method="asymptotic")
        assert statistics.signed_rank_test(rounded) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-9)


def test_only_shared_samples_are_paired():
    first, second = samples([1.0, 2.0, 3.0]), {(1,): 1.0, (2,): 1.0, (7,): 100.0}
    assert statistics.compare(first, second).median_difference == pytest.approx(1.5)


def test_spread():
    found = statistics.spread([1.0, 2.0, 4.0, float("nan")])
    assert (found.n, found.median) == (3, 2.0)
    assert found.mean == pytest.approx(7 / 3)
    assert found.sd == pytest.approx(stdlib_statistics.stdev([1, 2, 4]))
    assert statistics.spread([5.0]).sd is None
    assert statistics.spread([float("inf"), 1.0]).mean == float("inf")
    assert statistics.spread([]).n == 0
