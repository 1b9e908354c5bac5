"""Slope of a time series, with its 95 % confidence interval: pure arithmetic, no I/O.

Ordinary least squares assume independent errors. The errors of a series such as resident memory are
not independent: a value that is high now is likely to be high at the next sample. So the number of
samples is replaced by the number of independent samples with the same information, which the
autocorrelation of the residuals at lag 1 determines (an AR(1) process). Without this correction,
the interval is too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist, fmean
from typing import Final

HOUR: Final = 3600.0
PARAMETERS: Final = 2
"""Number of fitted parameters: the value at time 0, and the slope."""
MAX_AUTOCORRELATION: Final = 0.99


@dataclass(frozen=True)
class Slope:
    """Straight line through a series, with the uncertainty of its slope."""

    mean: float
    """Mean of the values."""
    at_zero: float
    """Value of the line at time 0."""
    per_hour: float
    """Change of the line in an hour."""
    margin: float
    """Half of the 95 % confidence interval of ``per_hour``; infinite with too few samples."""
    autocorrelation: float
    """Autocorrelation of the residuals at lag 1; 0 if it is negative."""

    @property
    def is_level(self) -> bool:
        """True if the confidence interval includes 0."""
        return abs(self.per_hour) <= self.margin


def fit(times: Sequence[float], values: Sequence[float]) -> Slope:
    """Fit a line to a series.

    Args:
        times: Times of the samples in seconds, at least two different ones, at even intervals.
        values: Values of the samples.

    Raises:
        ValueError: The series is too short, or the lengths differ.
    """
    if len(times) != len(values) or len({*times}) < PARAMETERS:
        raise ValueError("a slope needs a value at each of at least two different times")
    middle, mean = fmean(times), fmean(values)
    spread = math.fsum((time - middle) ** 2 for time in times)
    pairs = list(zip(times, values, strict=True))
    slope = math.fsum((time - middle) * (value - mean) for time, value in pairs) / spread
    residuals = [value - mean - slope * (time - middle) for time, value in pairs]
    squares = math.fsum(residual**2 for residual in residuals)
    correlation = autocorrelation(residuals, squares)
    independent = len(times) * (1 - correlation) / (1 + correlation)
    freedom = independent - PARAMETERS
    margin = student(freedom) * math.sqrt(squares / freedom / spread) if freedom >= 1 else math.inf
    return Slope(mean, mean - slope * middle, slope * HOUR, margin * HOUR, correlation)


def autocorrelation(residuals: Sequence[float], squares: float) -> float:
    """Return the autocorrelation at lag 1, from 0 to `MAX_AUTOCORRELATION`.

    ``squares`` is the sum of the squared residuals.
    """
    if not squares:
        return 0.0
    lagged = math.fsum(one * two for one, two in pairwise(residuals))
    return min(max(0.0, lagged / squares), MAX_AUTOCORRELATION)


def student(freedom: float) -> float:
    """Return the 97.5 % quantile of Student's t distribution.

    The expansion of Cornish and Fisher has an error below 1 % from 3 degrees of freedom on.
    """
    z = NormalDist().inv_cdf(0.975)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return math.fsum(term / freedom**power for power, term in enumerate(terms))
