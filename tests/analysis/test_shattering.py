"""Gradients of functions of one number, against NumPy by hand and against known correlations."""

import numpy as np
import pytest

from minires.analysis import shattering as S

# measured with plain NumPy: correlation of gradients 1 and 5 points apart, mean of 10 seeds
KNOWN = {
    "plain, no batch norm": {2: (0.97, 0.86), 10: (0.94, 0.75), 24: (0.88, 0.57)},
    "residual, no batch norm": {2: (0.98, 0.88), 10: (0.98, 0.89), 24: (0.97, 0.89)},
    "plain, batch norm": {2: (0.95, 0.76), 10: (0.41, -0.03), 24: (0.01, 0.02)},
    "residual, batch norm": {2: (0.98, 0.90), 10: (0.92, 0.68), 24: (0.82, 0.38)},
}


def by_hand(depth, kind, seed, points=256, width=200):
    """Values and derivatives carried forward together, layer by layer."""
    rng, x = np.random.default_rng(seed), np.linspace(-2, 2, points)[:, None]
    first, shift = rng.standard_normal((1, width)), rng.standard_normal(width)
    value, slope = x @ first + shift, np.repeat(first, points, axis=0)
    for _ in range(depth):
        weight = rng.standard_normal((width, width)) * np.sqrt(2 / width)
        before, before_slope = value, slope
        if kind.batch_norm:
            scale = np.sqrt(value.var(0) + 1e-5)
            value, slope = (value - value.mean(0)) / scale, slope / scale
        active = value > 0
        value, slope = (value * active) @ weight, (slope * active) @ weight
        if kind.skip:
            value = before + kind.branch_scale * value
            slope = before_slope + kind.branch_scale * slope
    return (slope @ rng.standard_normal((width, 1)))[:, 0] / np.sqrt(width)


@pytest.mark.parametrize("kind", S.KINDS.values(), ids=S.KINDS.keys())
def test_the_gradient_is_the_derivative_carried_forward(kind):
    expected = by_hand(7, kind, seed=4)
    actual = S.gradient_curve(7, kind, seed=4)
    np.testing.assert_allclose(actual, expected, atol=1e-10 * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize("kind", KNOWN)
def test_correlations_are_the_known_ones(kind):
    for depth, expected in KNOWN[kind].items():
        measured = S.mean_autocorrelation(depth, S.KINDS[kind], seeds=10)[[1, 5]]
        np.testing.assert_allclose(measured, expected, atol=0.15, err_msg=f"{kind}, {depth}")


def test_shortcuts_keep_what_batch_norm_alone_shatters():
    plain, residual = (
        S.mean_autocorrelation(24, S.KINDS[name], seeds=2)[1]
        for name in ("plain, batch norm", "residual, batch norm")
    )
    assert abs(plain) < 0.2
    assert residual > 0.7


def test_autocorrelation_of_noise_and_of_a_slow_wave():
    noise = S.autocorrelation(np.random.default_rng(0).standard_normal(4000))
    assert noise[0] == 1
    assert np.abs(noise[1:]).max() < 0.06
    wave = S.autocorrelation(np.sin(np.arange(4000) * 2 * np.pi / 40))
    np.testing.assert_allclose(wave, np.cos(np.arange(16) * 2 * np.pi / 40), atol=0.01)
