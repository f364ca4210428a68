"""Laws of every extractor, and of what anybody brings."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sparring.data import Dataset, Split
from sparring.extractors import EXTRACTORS, ExtractorError, Making, features, kept, learned, make, reference, usual
from sparring.extractors.contract import digest
from sparring.extractors.pca import Pca
from sparring.extractors.sized import Sized
from sparring.spaces import Frames, Image, Spec, Tokens, Vector, any_samples

SPACES = [Image(1, 8), Image(3, 20), Image(3, 130), Frames(2, 1, 16), Tokens(12, 9), Vector(3)]
PICTURES = ("random", "learned", "classifier")
TABLE = [name for name in EXTRACTORS if not name.startswith("inception")]


def fits(name, space):
    return (
        name in ("raw", "pca") or isinstance(space, Image | Frames) or (name == "random" and isinstance(space, Tokens))
    )


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """A cache of one's own, no weights, and learning that takes no time."""
    monkeypatch.setenv("SPARRING_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SPARRING_INCEPTION", raising=False)
    monkeypatch.setattr(learned, "STEPS", 2)


def dataset(space, n=24, seed=0):
    """n examples of a space to learn from, in three classes, and none held out: whoever looks there fails."""
    x = any_samples(space, n, torch.Generator().manual_seed(seed))
    x = (x if isinstance(space, Vector) else space.decode(x)).numpy()
    card = {"fingerprint": f"{space} {n} {seed}", "source": "noise"}
    return Dataset(Spec(space), Split(x, labels=np.arange(n) % 3), None, card, classes=["a", "b", "c"])  # type: ignore


def one(name, m, resize=None, thing=None):
    return make({name: thing}, m, resize)[0]


def refused(words, name="raw", m=None, resize=None, thing=None):
    with pytest.raises(ExtractorError) as error:
        one(name, m or Making(dataset(Image(3, 20))), resize, thing)
    assert words in str(error.value)


@pytest.mark.parametrize(("name", "space"), [(n, s) for n in TABLE for s in SPACES if fits(n, s)], ids=str)
def test_features_are_rows_of_finite_numbers_and_no_sample_sees_another(name, space):
    m = Making(dataset(space))
    E = one(name, m)
    f = reference(E, m, "train", 24)
    assert f.features.ndim == 2 and f.features.dtype == torch.float32 and len(f) == 24
    assert f.features.isfinite().all()
    assert f.source == E.name
    x = m.data.train.take(range(3))[0]
    again = features(E, [x.float() if isinstance(space, Vector) else space.encode(x)])
    torch.testing.assert_close(again, f.features[:3], rtol=1e-4, atol=1e-4)
    assert not E.training
    assert not any(p.requires_grad for p in E.parameters())


@pytest.mark.parametrize("name", TABLE)
def test_one_name_is_one_extractor(name, tmp_path):
    m, x = Making(dataset(Image(3, 20))), any_samples(Image(3, 20), 2)
    first, again = one(name, m), one(name, replace(m, cache=tmp_path / "another"))
    assert first.name == again.name
    assert torch.equal(first(x), again(x))
    if name in ("pca", "learned", "classifier"):
        assert one(name, Making(dataset(Image(3, 20), seed=1))).name != first.name


@pytest.mark.parametrize("name", TABLE)
def test_a_name_says_what_it_is(name):
    assert one(name, Making(dataset(Image(3, 20)))).name.startswith(name)


def test_what_a_space_is_looked_at_by(monkeypatch):
    assert usual(Image(3, 20)) == ["random", "learned"] == usual(Frames(2, 1, 16))
    assert usual(Image(3, 20), "weights.pth") == ["inception"]
    assert usual(Vector(2)) == ["raw"]
    assert usual(Tokens(3, 4)) == ["random", "learned"]
    monkeypatch.setenv("SPARRING_INCEPTION", "weights.pth")
    assert usual(Image(3, 20)) == ["inception"]


def test_pca_is_what_numpy_says():
    x = torch.randn(200, 6, generator=torch.Generator().manual_seed(0)) @ torch.diag(
        torch.tensor([5.0, 4, 3, 2, 1, 0.1])
    )
    E = Pca(x, 3)
    _, s, axes = np.linalg.svd((x - x.mean(0)).double().numpy(), full_matrices=False)
    torch.testing.assert_close(E(x).var(0).double(), torch.from_numpy(s[:3] ** 2 / 199), rtol=1e-4, atol=0)
    found = E.get_buffer("axes").double().numpy()
    np.testing.assert_allclose(np.abs(found @ axes[:3].T), np.eye(3), atol=1e-5)
    assert Pca(x[:3], 64)(x).shape == (200, 2)
    assert Pca(x[:, :2].contiguous(), 64)(x[:, :2]).shape == (200, 2)


def test_many_numbers_are_turned_without_all_their_products():
    x = torch.rand(20, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    assert Pca(x, 4).name == Pca(x, 4).name
    assert Pca(x, 4)(x).shape == (20, 4)


def test_reference_features_are_taken_once():
    m, taken = Making(dataset(Image(1, 8))), []

    class Counting(nn.Module):
        name = "counting"

        def forward(self, x):
            taken.append(len(x))
            return x.flatten(1)

    E = one("own:E", m, thing=Counting)
    first = reference(E, m, "train", 20)
    assert torch.equal(reference(E, m, "train", 20).features, first.features)
    assert taken == [20]
    assert first.features.shape == (20, 64)
    assert len(reference(E, m, "train", 10)) == 10
    reference(E, replace(m, data=dataset(Image(1, 8), seed=1)), "train", 20)
    assert taken == [20, 10, 20]

    (file,) = [
        p for p in sorted((m.cache or folder()).glob("features-*/features.safetensors")) if p.stat().st_size > 5000
    ][:1]
    file.write_bytes(file.read_bytes()[:100])
    for data in (m.data, dataset(Image(1, 8), seed=1)):
        reference(E, replace(m, data=data), "train", 20)
    assert taken == [20, 10, 20, 20]


def test_reference_features_are_taken_anew_where_code_or_torch_changed(tmp_path, monkeypatch):
    m, taken = Making(dataset(Image(1, 8))), []
    E = one("random", m)
    E.register_forward_hook(lambda *_: taken.append(1))
    look = lambda: reference(E, m, "train", 20)
    look(), look()
    assert len(taken) == 1
    monkeypatch.setattr(torch, "__version__", "2.0.0")
    look(), look()
    assert len(taken) == 2

    code = tmp_path / "another.py"
    monkeypatch.setattr(kept, "LOOKING", (*kept.LOOKING, str(code)))
    for i, text in enumerate(("return x", "return 2 * x")):
        code.write_text(text)
        look(), look()
        assert len(taken) == 3 + i


def test_all_that_makes_features_is_in_the_key_of_those_kept():
    """Rooms that a module is made in, but for what only learns or reads files, and ours for anybody's."""
    here = Path(kept.__file__).parent
    makes = {p.name for p in here.glob("*.py") if "nn.Module)" in p.read_text() or "Settled)" in p.read_text()}
    assert {"untrained.py", "encoder.py", "texts.py"} <= makes <= set(kept.LOOKING)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float32, torch.int64, torch.bool])
def test_weights_of_any_kind_have_a_digest(kind):
    net = nn.Module()
    net.register_buffer("scalar", torch.ones((), dtype=kind))
    net.register_buffer("w", torch.arange(6).view(2, 3).to(kind).T)
    first = digest(net)
    net.get_buffer("w")[0, 1] = 0
    assert len(first) == 8 and digest(net) != first


def folder():
    from sparring.data.cache import home

    return home()


# -- anybody's own ----------------------------------------------------------------------------------------------------


class Patches(nn.Module):
    """As large vision transformers are: a size and three channels of its own, colours scaled its own way."""

    side, channels, batch = 28, 3, 8

    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.cut, self.net = nn.Conv2d(3, 16, 14, 14), nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)

    def forward(self, x):
        return self.net(self.cut((x / 2 + 0.5 - 0.45) / 0.225).flatten(2).mT)[:, 0]


def mean(x):
    return x.mean((2, 3))


def patches():
    return Patches()


@pytest.mark.parametrize(
    "thing", [Patches, Patches(), patches, mean, nn.Flatten()], ids=("class", "module", "patches", "mean", "flatten")
)
def test_any_module_or_function_is_an_extractor(thing):
    m = Making(dataset(Image(1, 20)))
    E = one("mine:thing", m, thing=thing)
    f = reference(E, m, "train", 24)
    sized = thing is not mean and not isinstance(thing, nn.Flatten)
    assert f.features.shape == (24, 16 if sized else 1 if thing is mean else 400)
    assert isinstance(E, Sized) == sized
    assert E.name.startswith("mine:thing-")
    assert not (folder().exists() and list(folder().glob("features-*")))  # who knows what else it depends on


def test_its_own_name_is_taken_at_its_word():
    class Named(Patches):
        name = "mine-3"

    m = Making(dataset(Image(3, 20)))
    assert one("mine:Named", m, thing=Named).name == "mine-3-clean"
    assert one("mine:Named", m, "tf1", thing=Named).name == "mine-3-tf1"


def test_the_example_of_the_docs(monkeypatch):
    text = (Path(__file__).parents[1] / "docs" / "extractors.md").read_text()
    code = text.partition("# mine.py\n")[2].partition("```")[0]
    monkeypatch.setattr(torch.hub, "load", lambda *a, **k: nn.Sequential(nn.AvgPool2d(56), nn.Flatten()))
    scope: dict = {}
    exec(code, scope)
    m = Making(dataset(Image(1, 20)))
    f = reference(one("mine:Dino", m, thing=scope["Dino"]), m, "train", 24)
    assert f.source == "dinov2-l-clean"
    assert f.features.shape == (24, 48)


def test_what_is_no_extractor_is_refused():
    class Hungry(nn.Module):
        def __init__(self, path):
            super().__init__()

    m = Making(dataset(Image(3, 20)))
    refused("'mine:x' is int, which cannot be called", "mine:x", thing=3)
    refused("needs path; name a function that makes it", "mine:x", thing=Hungry)
    for thing, words in (
        (lambda x: x, "gives (24, 3, 20, 20)"),
        (lambda x: [x], "gives list"),
        (lambda x: x[:2, 0, 0], "(24, d)"),
    ):
        with pytest.raises(ExtractorError) as error:
            reference(one("mine:x", m, thing=thing), m, "train", 24)
        assert words in str(error.value)


# -- refused ----------------------------------------------------------------------------------------------------------


def test_wrong_requests_name_the_way_out():
    frames, points = Making(dataset(Frames(2, 1, 16))), Making(dataset(Vector(2)))
    nameless = replace(dataset(Image(3, 20)), classes=None)
    refused("resize 'cleen' is none of clean, tf1, none", resize="cleen")
    refused("--resize tf1 has nothing to do: none of random has a size of its own", "random", resize="tf1")
    refused(
        "--weights are those of inception, and not of learned",
        "learned",
        Making(dataset(Image(3, 20)), weights="x.pth"),
    )
    refused("never downloaded", "inception")
    refused("'inception' looks at pictures, not at Frames", "inception", frames)
    refused("'mine:P' looks at pictures", "mine:P", frames, thing=Patches)
    refused("'learned' looks at pictures or frames, not at Vector", "learned", points)
    refused("has nothing beside anything; take raw", "random", points)
    refused("needs classes, and noise has none", "classifier", Making(nameless))
