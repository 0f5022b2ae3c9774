"""The normal mixture, against numerical integration and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.experiments.boundary import always_valid_p, boundary, tuned


@pytest.mark.parametrize(("total", "variance", "rho"), [(3.0, 4.0, 2.0), (25.0, 100.0, 30.0), (1.0, 50.0, 500.0)])
def test_p_is_the_inverse_of_the_mixture_of_likelihood_ratios(total, variance, rho):
    by = np.linspace(-12, 12, 200_001) / math.sqrt(rho)
    density = np.exp(-rho * by**2 / 2) * math.sqrt(rho / (2 * math.pi))
    mixture = np.trapezoid(np.exp(by * total - by**2 * variance / 2) * density, by)

    assert always_valid_p(total, variance, rho) == pytest.approx(min(1.0, 1 / mixture), rel=1e-6)


def test_p_is_alpha_on_the_boundary():
    for alpha in (0.05, 0.001):
        v = np.array([1.0, 30.0, 4000.0])
        assert always_valid_p(boundary(v, 25.0, alpha), v, 25.0) == pytest.approx(alpha)


def test_the_known_value_of_howard_and_others():
    # sqrt((v + rho) log((v + rho) / (alpha^2 rho))), by hand for v = rho = 1, alpha = .05: sqrt(2 log 800).
    assert boundary(1.0, 1.0, 0.05) == pytest.approx(math.sqrt(2 * math.log(800)))


def test_rho_is_tuned_to_where_the_boundary_is_narrow():
    rho = tuned(1000.0, 0.05)
    others = rho * np.geomspace(0.05, 20, 201)

    assert boundary(1000.0, rho, 0.05) <= boundary(1000.0, others, 0.05).min() * 1.001


def test_a_random_walk_leaves_it_in_less_than_5_of_100_and_a_fixed_z_test_in_far_more():
    rng = np.random.default_rng(5)
    walk = np.cumsum(rng.standard_normal((2000, 3000)), axis=1)
    v = np.arange(1, 3001.0)

    ever = np.mean((np.abs(walk) > boundary(v, tuned(500.0, 0.05), 0.05)).any(axis=1))
    plain = np.mean((np.abs(walk) > 1.96 * np.sqrt(v)).any(axis=1))

    assert ever < 0.05
    assert ever > 0.005  # not merely never
    assert plain > 0.5
