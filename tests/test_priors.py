"""Laws of every prior, and of each."""

from math import erf, exp, pi, sqrt

import pytest
import torch
from scipy.stats import kstest, truncnorm

from sparring.priors import PRIORS, Bernoulli, Mixture, Normal, Prior, Sphere, Truncated, Uniform


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", PRIORS)
def test_every_prior_keeps_the_contract(name):
    prior: Prior = PRIORS[name](5)
    z = prior.sample(7, stream())
    assert (prior.dim, z.shape, z.dtype, z.device.type) == (5, (7, 5), torch.float32, "cpu")
    assert prior.sample(0).shape == (0, 5)
    assert torch.isfinite(prior.sample(10_000)).all()
    assert prior == PRIORS[name](5)
    assert prior != PRIORS[name](6)
    with pytest.raises(ValueError, match="dim = 0"):
        PRIORS[name](0)


@pytest.mark.parametrize("name", PRIORS)
def test_draws_are_a_function_of_the_generator_alone(name):
    prior = PRIORS[name](6)
    before = torch.random.get_rng_state()
    assert torch.equal(prior.sample(9, stream(1)), prior.sample(9, stream(1)))
    assert not torch.equal(prior.sample(9, stream(1)), prior.sample(9, stream(2)))
    assert torch.equal(before, torch.random.get_rng_state())

    torch.manual_seed(3)
    a = prior.sample(9)
    torch.manual_seed(3)
    assert torch.equal(a, prior.sample(9))


def truncated_variance(at):
    return 1 - 2 * at * exp(-at * at / 2) / sqrt(2 * pi) / erf(at / sqrt(2))


@pytest.mark.parametrize(
    ("prior", "mean", "variance"),
    [
        (Normal(4), 0, 1),
        (Uniform(4), 0, 1 / 3),
        (Bernoulli(4), 0.5, 0.25),
        (Bernoulli(4, p=0.2), 0.2, 0.16),
        (Truncated(4), 0, truncated_variance(2.0)),
        (Truncated(4, at=0.5), 0, truncated_variance(0.5)),
        (Sphere(4), 0, 1),
    ],
)
def test_moments(prior, mean, variance):
    z = prior.sample(50_000, stream()).double()
    assert z.mean(0).sub(mean).abs().max() < 5 * sqrt(variance / len(z))
    covariance = torch.cov(z.T)
    assert (covariance - variance * torch.eye(4)).abs().max() < 0.03 * max(variance, 0.2)


def test_supports():
    assert Uniform(3).sample(10_000).abs().max() <= 1
    assert set(Bernoulli(3).sample(1000).unique().tolist()) == {0, 1}
    assert not Bernoulli(3, p=0).sample(100).any()
    assert Bernoulli(3, p=1).sample(100).all()
    assert Sphere(9).sample(100).norm(dim=1).sub(3).abs().max() < 1e-5


@pytest.mark.parametrize("at", [1e-6, 0.5, 2.0, 12.0])
def test_truncated_is_the_normal_inside_its_bounds(at):
    z = Truncated(1, at).sample(20_000, stream()).double().squeeze(1)
    assert z.abs().max() <= torch.tensor(at).float()
    assert kstest(z.numpy(), truncnorm(-at, at).cdf).pvalue > 0.001


def test_a_mixture_has_its_modes_equally_full():
    prior = Mixture(3, components=5, std=0.02, seed=1)
    z = prior.sample(20_000, stream())
    distance, mode = torch.cdist(z, prior.centres).min(1)
    assert mode.bincount(minlength=5).float().div(4000).sub(1).abs().max() < 0.08
    assert distance.max() < 0.02 * 6
    within = torch.stack([z[mode == k].std(0) for k in range(5)])
    assert within.div(0.02).sub(1).abs().max() < 0.05

    assert torch.equal(Mixture(3, 5, 0.02, 1).centres, prior.centres)
    assert not torch.equal(Mixture(3, 5, 0.02, 2).centres, prior.centres)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Bernoulli(2, p=1.5), "p = 1.5"),
        (lambda: Truncated(2, at=0), "at = 0"),
        (lambda: Mixture(2, components=0), "components = 0"),
        (lambda: Mixture(2, std=float("nan")), "std = nan"),
    ],
)
def test_impossible_priors_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
