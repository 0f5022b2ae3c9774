"""The noise that is drawn is the noise that is accounted for."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from models.privacy import noise
from models.privacy.bounds import Promise

pytest.importorskip("opendp", reason="needs the extra privacy (OpenDP)")


@pytest.mark.parametrize("promise", [Promise(0.5, 1e-6), Promise(1.0, 1e-5), Promise(4.0, 1e-6), Promise(8.0, 1e-9)])
def test_the_noise_keeps_the_promise_and_hardly_more_than_it(promise):
    scale = noise.scale_for(promise, 1000.0)
    kept = noise.epsilon_of(scale, 1000.0, promise.delta)
    assert promise.epsilon * 0.999 <= kept <= promise.epsilon
    assert noise.epsilon_of(scale / 1.01, 1000.0, promise.delta) > promise.epsilon


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 4.0, 8.0])
def test_it_is_never_less_than_the_least_that_keeps_it_and_at_most_a_quarter_more(epsilon):
    """The exact delta of Gaussian noise (Balle and Wang, ICML 2018, theorem 8), to check the library's account."""
    scale, delta, cdf = noise.scale_for(Promise(epsilon, 1e-6), 1000.0) / 1000.0, 1e-6, NormalDist().cdf

    def exact_delta(s):
        return cdf(1 / (2 * s) - epsilon * s) - math.exp(epsilon) * cdf(-1 / (2 * s) - epsilon * s)

    assert exact_delta(scale) <= delta < exact_delta(scale / 1.25)


def test_twice_the_sensitivity_is_twice_the_noise():
    once, twice = (noise.scale_for(Promise(2.0, 1e-6), sensitivity) for sensitivity in (500.0, 1000.0))
    assert twice / once == pytest.approx(2.0, rel=1e-6)


def test_what_is_drawn_has_the_scale_is_centred_whole_and_independent():
    """OpenDP's randomness has no seed: bounds of six standard deviations, which fail once in a thousand million runs."""
    n, scale = 20_000, 300.0
    drawn = noise.noised(np.full(n, 7, np.int64), scale) - 7
    assert drawn.dtype == np.int64
    assert abs(drawn.mean()) < 6 * scale / math.sqrt(n)
    assert abs((drawn**2).mean() / scale**2 - 1.0) < 6 * math.sqrt(2 / n)
    assert abs(float(np.corrcoef(drawn[:-1], drawn[1:])[0, 1])) < 6 / math.sqrt(n)
    assert abs(float((np.abs(drawn) < scale).mean()) - 0.6827) < 6 * math.sqrt(0.6827 * 0.3173 / n)


def test_nothing_is_noised_to_nothing():
    assert noise.noised(np.zeros(0, np.int64), 5.0).shape == (0,)


def test_where_opendp_is_missing_it_says_which_extra_has_it(monkeypatch):
    monkeypatch.setattr(noise, "find_spec", lambda name: None)
    with pytest.raises(noise.NoOpenDPError, match=r"pip install 'penchant\[privacy\]'"):
        noise.scale_for(Promise(1.0, 1e-6), 1.0)
    with pytest.raises(noise.NoOpenDPError):
        noise.noised(np.zeros(1, np.int64), 1.0)
    with pytest.raises(noise.NoOpenDPError):
        noise.epsilon_of(1.0, 1.0, 1e-6)
