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
    assert single.note == "1 pair cannot give a p below 1: no conclusion either way"
    nothing = statistics.compare({}, samples([1.0]))
    assert (nothing.n, nothing.p, nothing.note) == (0, None, "no pairs")
    perfect = statistics.compare(samples([float("inf"), 3.0, 4.0]), samples([1.0, 1.0, 1.0]))
    assert perfect.n == 2
    assert perfect.note == (
        "1 pair with an infinite or undefined score was left out; "
        "2 pairs cannot give a p below 0.5: no conclusion either way"
    )


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


def test_shift_of_hollander_and_wolfe():
    """Hamilton depression scale factor of nine patients at two visits: their table 3.1, estimate and interval."""
    first = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
    second = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])
    found = statistics.shift(second - first)
    assert (found.estimate, found.low, found.high) == pytest.approx((-0.46, -0.786, -0.010))


@pytest.mark.parametrize("n", [6, 9, 24, 50, 51, 120])
@pytest.mark.parametrize("confidence", [0.95, 0.8])
def test_the_interval_holds_the_shifts_that_scipy_does_not_reject(n, confidence):
    differences = np.random.default_rng(n).normal(0.4, 1, n)
    found = statistics.shift(differences, confidence)
    means = np.sort([(a + b) / 2 for place, a in enumerate(differences) for b in differences[place:]])
    assert found.estimate == pytest.approx(np.median(means))
    method = "exact" if n <= 50 else "asymptotic"

    def p(shift):
        return stats.wilcoxon(differences - shift, method=method).pvalue

    # From one mean to the next the sum of ranks, and p with it, jumps.
    for end, inwards in ((found.low, 1e-9), (found.high, -1e-9)):
        assert np.isclose(means, end, rtol=0, atol=1e-12).any()
        assert p(end + inwards) > 1 - confidence > p(end - inwards)


def test_too_few_differences_have_no_interval():
    assert statistics.shift([1.0, 2.0, 4.0]) == statistics.Shift(2.25, None, None)
    values = [0.5, 1.0, 2.0, 3.0, 4.0, 7.0]
    assert len(values) == statistics.N_LEAST
    assert statistics.shift(values[1:]).low is None
    found = statistics.shift(values)
    assert (found.low, found.high) == (0.5, 7.0)
    assert statistics.signed_rank_test(values)[1] < 0.05 < statistics.signed_rank_test(values[1:])[1]


@pytest.mark.parametrize("n", [20, 70])
def test_the_interval_and_p_agree_and_nineteen_of_twenty_hold_the_shift(n):
    rng = np.random.default_rng(n)
    n_held = 0
    for _ in range(400):
        differences = rng.normal(0.5, 1, n)
        found = statistics.shift(differences)
        n_held += found.low <= 0.5 <= found.high
        assert (found.low <= 0 <= found.high) == (statistics.signed_rank_test(differences)[1] > 0.05)
    assert 0.92 * 400 <= n_held <= 0.98 * 400


def test_ties_and_zeros_have_an_interval():
    found = statistics.shift(np.zeros(8))
    assert (found.estimate, found.low, found.high) == (0, 0, 0)
    found = statistics.shift([0, 0, 0, 1, 1, 1, 2, 2])
    assert found.low <= found.estimate <= found.high
