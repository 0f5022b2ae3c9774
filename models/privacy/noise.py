"""Noise, and what it is worth, by OpenDP (`penchant[privacy]`): the discrete Gaussian on integers, drawn exactly from the
system's secure random numbers (Canonne, Kamath and Steinke, NeurIPS 2020), and its privacy map to zero-concentrated and from
there to approximate differential privacy. Nothing of it can be seeded, on purpose: who knows a seed knows the noise.

OpenDP rather than dp-accounting, whose numerical account of the continuous Gaussian needs 7 % less noise: one wheel that needs
no SciPy holds account and sampler, and the account is of the very noise that is drawn.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.privacy.bounds import Promise

EXTRA: Final = "penchant[privacy]"

_LEAST: Final = 0.08
_MOST: Final = 1e7
"""Noise to sensitivity, between which it is looked for: from an epsilon beyond `bounds.MOST_EPSILON` to one of 1e-6."""


class NoOpenDPError(Exception):
    """OpenDP is not installed; the message says how to get it."""

    def __init__(self) -> None:
        super().__init__(f"differential privacy needs OpenDP: pip install '{EXTRA}'")


def needs_opendp() -> None:
    """Nothing, where it is installed.

    Raises:
        NoOpenDPError: it is not.
    """
    if find_spec("opendp") is None:
        raise NoOpenDPError


def scale_for(promise: Promise, sensitivity: float) -> float:
    """Standard deviation of the noise that keeps the promise, if one person changes all that is released by at most
    `sensitivity` (L2, of all integers of all releases together).

    Raises:
        NoOpenDPError: OpenDP is not installed.
    """
    needs_opendp()
    import opendp.prelude as dp  # noqa: PLC0415  (an extra)

    return float(
        dp.binary_search_param(
            lambda scale: _with_delta(_gaussian(scale), promise.delta),
            d_in=sensitivity,
            d_out=(promise.epsilon, promise.delta),
            bounds=(sensitivity * _LEAST, sensitivity * _MOST),
            T=float,
        )
    )


def epsilon_of(scale: float, sensitivity: float, delta: float) -> float:
    """Epsilon at this delta of noise of this standard deviation: what `scale_for` keeps, asked the other way round.

    Raises:
        NoOpenDPError: OpenDP is not installed.
    """
    needs_opendp()
    return float(_with_delta(_gaussian(scale), delta).map(sensitivity)[0])


def noised(values: NDArray[np.int64], scale: float) -> NDArray[np.int64]:
    """The same with independent discrete Gaussian noise of parameter `scale`, (n,) int64.

    Raises:
        NoOpenDPError: OpenDP is not installed.
    """
    needs_opendp()
    return np.array(_gaussian(scale)(values.tolist()), np.int64)


def _gaussian(scale: float) -> Any:
    import opendp.prelude as dp  # noqa: PLC0415

    dp.enable_features("contrib")
    return dp.m.make_gaussian(dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T=float), scale=scale)


def _with_delta(measurement: Any, delta: float) -> Any:
    import opendp.prelude as dp  # noqa: PLC0415

    return dp.c.make_fix_delta(dp.c.make_zCDP_to_approxDP(measurement), delta)
