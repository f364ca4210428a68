"""Laws of SOAP: it is Adam where there is nothing to turn, and turns with the weights where there is."""

import copy

import pytest
import torch
from torch import nn

from sparring.optimizers import last_step
from sparring.routes import pace
from sparring.soap import SOAP, folded, spread


def descend(opt, params, loss, steps):
    for _ in range(steps):
        opt.zero_grad()
        loss(*params).backward()
        opt.step()


def orthogonal(n, seed):
    return torch.linalg.qr(torch.randn(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.double)).Q


@pytest.mark.parametrize("betas", [(0.0, 0.99), (0.9, 0.999)])
def test_of_single_numbers_it_is_adam(betas):
    start, target = torch.randn(7), torch.randn(7)
    ours, theirs = (start.clone().requires_grad_() for _ in range(2))
    loss = lambda p: ((p - target) ** 4).sum()
    one, two = SOAP([ours], lr=0.01, betas=betas), torch.optim.Adam([theirs], lr=0.01, betas=betas)
    descend(one, [ours], loss, 30)
    descend(two, [theirs], loss, 30)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 3, 3)])
def test_turned_weights_take_turned_steps(shape):
    """Adam's path depends on the axes that weights happen to have, this one's does not."""
    out, into = orthogonal(shape[0], 0), orthogonal(shape[1], 1)
    turn = lambda w: torch.einsum("ab,bc...,cd->ad...", out, w, into)
    g = torch.Generator().manual_seed(2)
    start, target = (torch.randn(shape, generator=g, dtype=torch.double) for _ in range(2))
    weigh = torch.rand(shape, generator=g, dtype=torch.double) * 10
    back = lambda w: torch.einsum("ba,bc...,dc->ad...", out, w, into)
    loss = lambda w: (weigh * (w - target) ** 2).sum()
    paths = {}
    for name, make in (("soap", lambda p: SOAP(p, lr=0.02, every=3)), ("adam", lambda p: torch.optim.Adam(p, lr=0.02))):
        plain, other = start.clone().requires_grad_(), turn(start).requires_grad_()
        descend(make([plain]), [plain], loss, 12)
        descend(make([other]), [other], lambda w: loss(back(w)), 12)
        paths[name] = (turn(plain.detach()) - other.detach()).abs().max().item()
    assert paths["soap"] < 1e-6 < 1e-2 < paths["adam"]


def test_a_weight_is_spread_and_folded_again_however_it_lies():
    w = torch.randn(4, 3, 2, 5)
    for g in (w, w.contiguous(memory_format=torch.channels_last), torch.randn(6, 2), torch.randn(3), torch.tensor(2.0)):
        assert spread(g).ndim == 3
        assert torch.equal(folded(spread(g), g.shape), g)
    last = w.contiguous(memory_format=torch.channels_last)
    assert spread(last).data_ptr() == last.data_ptr()
    steps = []
    for lies in (torch.contiguous_format, torch.channels_last):
        p = torch.ones(8, 8, 3, 3).contiguous(memory_format=lies).requires_grad_()
        opt = SOAP([p], lr=0.1)
        for k in range(25):
            p.grad = torch.randn(8, 8, 3, 3, generator=torch.Generator().manual_seed(k)).contiguous(memory_format=lies)
            opt.step()
        steps.append(p.detach().clone())
    torch.testing.assert_close(*steps)


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5))


def some_steps(model, opt, start, n):
    for k in range(start, start + n):
        x = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(k))
        opt.zero_grad()
        model(x).square().mean().backward()
        opt.step()


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("beta1", [0.0, 0.5])
def test_loaded_it_goes_on_as_if_never_stopped(beta1, bf16):
    model = net()
    opt = SOAP(model.parameters(), lr=1e-3, betas=(beta1, 0.99), every=7)
    opt.param_groups[0]["bf16"] = bf16
    some_steps(model, opt, 0, 10)
    other = copy.deepcopy(model)
    again = SOAP(other.parameters(), lr=1e-3, betas=(beta1, 0.99), every=7)
    again.load_state_dict(copy.deepcopy(opt.state_dict()))
    for m, o in ((model, opt), (other, again)):
        some_steps(m, o, 10, 12)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters()))


def test_products_in_bfloat16_go_nearly_the_same_way():
    ends = []
    for bf16 in (False, True):
        model = net()
        opt = SOAP(model.parameters(), lr=1e-3)
        opt.param_groups[0]["bf16"] = bf16
        some_steps(model, opt, 0, 30)
        ends.append(
            torch.cat([p.detach().flatten() - q.flatten() for p, q in zip(model.parameters(), net().parameters())])
        )
    assert torch.cosine_similarity(*ends, dim=0) > 0.98


def test_probes_know_its_last_step_and_its_pace():
    model = net()
    opt = SOAP(model.parameters(), lr=1e-3, every=4)
    some_steps(model, opt, 0, 8)
    before = [p.detach().clone() for p in model.parameters()]
    some_steps(model, opt, 8, 1)
    for taken, old, new in zip(last_step(opt), before, model.parameters()):
        torch.testing.assert_close(taken, old - new.detach(), atol=1e-7, rtol=1e-4)
    slopes = torch.cat([p.grad.flatten() for p in model.parameters()])  # type: ignore[union-attr]
    assert 0.2 < float(pace(opt, 1e-3)) / (1e-3 / slopes.square().mean().sqrt().item()) < 5


def test_wide_and_narrow_sides_have_no_directions():
    p = nn.Parameter(torch.randn(3, 40))
    opt = SOAP([p], largest=20)
    p.grad = torch.randn(3, 40)
    opt.step()
    assert not [k for k in opt.state[p] if k.startswith("basis")]


@pytest.mark.parametrize("when", [0, 3])
def test_what_is_not_finite_shows_in_the_weights_and_stops_nothing(when):
    """So that whoever watches the run can tell of it."""
    p = nn.Parameter(torch.randn(8, 6))
    opt = SOAP([p], lr=0.1, every=1)
    for k in range(6):
        p.grad = torch.full((8, 6), float("nan")) if k == when else torch.randn(8, 6)
        opt.step()
    assert not p.isfinite().all()
