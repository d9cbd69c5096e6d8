"""How strongly compressed sensing should regularise a scan: fastMRI's table of λ."""

from __future__ import annotations

from typing import NamedTuple

# Where a scan is in no table: what the table says most often.
DEFAULT = 0.01
# Far beyond where nothing but the regularisation counts; the arithmetic is in single precision.
LARGEST = 1e6

# (at 4x, at 8x), by fastMRI's names of the acquisitions.
_ONE_COIL = {"CORPD_FBK": (0.01, 0.1), "CORPDFS_FBK": (0.01, 0.01)}
_ARRAY = {
    "CORPD_FBK": (0.01, 0.01),
    "CORPDFS_FBK": (0.001, 0.01),
    "AXT1": (0.001, 0.01),
    "AXT1PRE": (0.001, 0.01),
    "AXT1POST": (0.01, 0.01),
    "AXT2": (0.01, 0.01),
    "AXFLAIR": (0.01, 0.001),
}
# Between the accelerations of the table, the nearer one.
_BETWEEN = 6.0


class Choice(NamedTuple):
    """λ, and where it is from."""

    value: float
    origin: str


def choose_lambda(acquisition: str | None, n_coils: int, acceleration: float) -> Choice:
    """Return λ of total variation for a scan, as a share of the image's brightness, and where it is from.

    Parameters
    ----------
    acquisition
        fastMRI's name, such as ``CORPD_FBK``; None where the scan has none.
    n_coils
        Coils that took the scan.
    acceleration
        How many times fewer samples were taken.

    References
    ----------
    Zbontar et al., fastMRI, arXiv 1811.08839; the settings of its published compressed-sensing baseline.
    """
    name = (acquisition or "").strip().upper()
    is_low = acceleration < _BETWEEN
    for coils, table in (("one coil", _ONE_COIL if n_coils == 1 else {}), ("an array", _ARRAY)):
        if name in table:
            origin = f"fastMRI's table: {name}, {coils}, {'4x' if is_low else '8x'}"
            return Choice(table[name][not is_low], origin)
    return Choice(DEFAULT, "the default: the scan is not in fastMRI's table")
