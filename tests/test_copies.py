"""Laws of the search for copies: whoever copies is caught, in each way of copying; fresh real samples are not."""

import json

import pytest
import torch
from torch.nn.functional import avg_pool2d, pad

from sparring import worlds
from sparring.metrics.copies import authenticity, blended, c_t, closest, copies, small
from sparring.spaces import Frames, Image, Tokens, Vector

N, HELD, FAKES = 600, 250, 200


def normal(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def parts(name):
    """Training, held-out and fresh real pictures, in stored form."""
    if name == "digits":
        x = torch.cat([worlds.open("digits").draw(n, 0, held)[0] for n, held in ((1438, False), (359, True))])
        x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))]
        return x[:1300], x[1300:1550], x[1550:1750]
    world = worlds.open("faces", size=24)
    x = world.draw(N + HELD + FAKES, 0)[0]
    return x.split([N, HELD, FAKES])


DATA = {name: parts(name) for name in ("digits", "faces")}
SPACE = {"digits": Image(1, 8), "faces": Image(3, 24)}


def byte(x):
    return x.round().clamp(0, 255).byte()


def noisy(x, std):
    return byte(x + std * torch.randn(x.shape, generator=torch.Generator().manual_seed(1)))


def between(a, b):
    share = torch.rand(len(a), 1, 1, 1, generator=torch.Generator().manual_seed(2))
    return byte(a * share + b * (1 - share))


CONTROLS = {
    "replay": (lambda x: x, {"as is", "recoloured"}),
    "mirror": (lambda x: x.flip(-1), {"mirrored"}),
    "noise": (lambda x: noisy(x, 8), {"as is"}),
    "shift": (lambda x: pad(x.float(), (1, 0, 1, 0), mode="replicate")[..., :-1, :-1].byte(), {"shifted"}),
    "recolour": (lambda x: byte(40 + 0.6 * x.float()), {"recoloured"}),
    "between": (lambda x: between(x, x.roll(1, 0)), {"blended"}),
    "a tenth": (lambda x: torch.cat([x[:20], DATA["digits" if x.shape[1] == 1 else "faces"][2][20:]]), {"as is"}),
}


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("control", CONTROLS)
def test_each_way_of_copying_is_caught(control, data):
    train, heldout, _ = DATA[data]
    make, expected = CONTROLS[control]
    found = copies(train, heldout, make(train[:FAKES]), SPACE[data])
    assert expected <= set(found.ways), found.asdict()["ways"]
    assert found.verdict.startswith("copies: ")
    assert json.loads(json.dumps(found.asdict())) == found.asdict()


@pytest.mark.parametrize("control", ["replay", "mirror", "recolour"])
def test_the_pairs_are_the_copies_and_what_they_were_copied_from(control):
    train, heldout, fresh = DATA["faces"]
    fake = torch.cat([fresh[:150], CONTROLS[control][0](train[100:150])])
    found = copies(train, heldout, fake, SPACE["faces"], pairs=40)
    assert len(found.pairs) == 40
    right = [j == i - 50 for i, j, _ in found.pairs if i >= 150]
    assert len(right) >= 36
    assert sum(right) >= 0.9 * len(right)


@pytest.mark.parametrize("data", DATA)
def test_fresh_real_samples_are_no_copies(data):
    train, heldout, fresh = DATA[data]
    found = copies(train, heldout, fresh, SPACE[data])
    assert found.ways == [], found.asdict()["ways"]
    assert "no copies found" in found.verdict
    assert abs(found.c_t.value) < 3
    assert found.authentic.value == pytest.approx(found.authentic_heldout.value, abs=4 * found.authentic.se)


@pytest.mark.parametrize("data", DATA)
def test_bad_samples_that_copy_nothing_are_no_copies(data):
    train, heldout, fresh = DATA[data]
    soft = avg_pool2d(pad(fresh.float(), (1, 1, 1, 1), mode="replicate"), 3, 1)
    mean = train.float().mean(0, keepdim=True) + torch.randn(FAKES, 1, 1, 1)
    for fake in (
        byte(soft),
        noisy(fresh, 60),
        byte(mean.expand(FAKES, *train.shape[1:])),
        fresh[:10].repeat(20, 1, 1, 1),
    ):
        assert copies(train, heldout, fake, SPACE[data]).ways == []


def test_points_words_and_frames_are_searched_too():
    x = normal(900, 4)
    assert copies(x[:500], x[500:700], x[700:], Vector(4)).ways == []
    assert "as is" in copies(x[:500], x[500:700], x[:100] + 1e-3, Vector(4)).ways

    words = torch.randint(12, (900, 8), generator=torch.Generator().manual_seed(0))
    assert copies(words[:500], words[500:700], words[700:], Tokens(8, 12)).ways == []
    assert "as is" in copies(words[:500], words[500:700], words[:100], Tokens(8, 12)).ways

    clips = torch.randint(256, (300, 2, 1, 8, 8), generator=torch.Generator().manual_seed(0)).byte()
    assert "mirrored" in copies(clips[:200], clips[200:], clips[:50].flip(-1), Frames(2, 1, 8)).ways


def test_texts_that_repeat_by_themselves_hide_no_copies():
    """Most held-out texts stand in the training set as well: so do those of an honest writer, and of a copier all."""
    world = worlds.open("grammar")
    train, held, fresh = (world.draw(n, seed)[0] for n, seed in ((2000, 0), (300, 1), (300, 2)))
    known = {tuple(row) for row in train.tolist()}
    assert sum(tuple(row) in known for row in held.tolist()) > 100
    assert not copies(train, held, fresh, world.spec.x).ways
    assert copies(train, held, train[:300], world.spec.x).ways == ["as is"]


def test_texts_of_many_words_are_searched_in_few_numbers():
    space, g = Tokens(20, 5000), torch.Generator().manual_seed(0)
    texts = torch.randint(1, 5000, (900, 20), generator=g)
    train, held, fresh = texts.split([500, 200, 200])
    assert small(space, train).shape[1] <= 4096
    assert not copies(train, held, fresh, space).ways
    almost = train[:200].clone()
    almost[:, 3] = 7
    assert copies(train, held, almost, space).ways == ["as is"]


def test_c_t_is_a_z_score_of_ranks():
    x = normal(1200, 3)
    train, held, fresh = x.split(400)
    assert abs(c_t(train, held, fresh).value) < 3
    assert c_t(train, held, train + 1e-2 * normal(400, 3, 1)).value < -10
    assert c_t(train, held, 2 * fresh).value > 3
    assert c_t(train, held, fresh).se == pytest.approx(3**-0.5, rel=0.2)  # three cells about alike


def test_authenticity_in_closed_form():
    line = torch.arange(10.0)[:, None] * torch.ones(1, 2)
    assert authenticity(line, line + 0.1).value == 0  # all nearer than their neighbours are to each other
    assert authenticity(line, line + 100).value == 1
    assert authenticity(line, line[:4] + torch.tensor([[0.1], [0.1], [90.0], [90.0]])).value == 0.5


def test_between_two_points_is_no_way_from_either():
    x = normal(40, 6)
    found = blended(0.3 * x[:10] + 0.7 * x[10:20], x, None)
    near = closest(0.3 * x[:10] + 0.7 * x[10:20], x, None)
    hit = (near.number >= 10) & (near.number < 20)
    assert float(found.distance[hit].max()) < 1e-3
    assert bool((found.distance <= near.distance + 1e-6).all())


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ((300, 5, 50), "heldout has 5 samples and the search for copies needs 20"),
        ((300, 50, 0), "fake has 0 samples"),
    ],
)
def test_too_few_are_refused(sizes, told):
    with pytest.raises(ValueError, match=told):
        copies(*(torch.zeros(n, 1, 8, 8).byte() for n in sizes), Image(1, 8))


def test_samples_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"fake samples are \(1, 9, 9\) and training ones \(1, 8, 8\)"):
        copies(torch.zeros(50, 1, 8, 8), torch.zeros(50, 1, 8, 8), torch.zeros(50, 1, 9, 9), Image(1, 8))
