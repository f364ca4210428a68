"""The network behind FID: each of its differences from the stock network, the whole against a golden sum, its files."""

import hashlib
import json
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sparring.cli import main
from sparring.extractors import weights
from sparring.extractors.contract import ExtractorError
from sparring.extractors.standard import FidInception
from sparring.nets.inception import Inception, average, block_a, block_c, block_e, greatest


def some_weights(seed=0):
    """Weights that let a signal through, the same wherever they are made: draws of 24 bits, scaled in one step."""
    g = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        shapes = {k: v.shape for k, v in Inception().state_dict().items() if not k.endswith("num_batches_tracked")}

    def draw(name, shape):
        u = torch.rand(shape, generator=g) * 2 - 1
        if name.endswith("conv.weight"):
            return u * (6 / shape[1:].numel()) ** 0.5
        if name.endswith(("running_var", "bn.weight")):
            return u * 0.2 + 1
        return u * 0.1

    return {name: draw(name, shape) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def state():
    return some_weights()


def ramp(n=2, size=299):
    """n pictures of waves, (n, 3, size, size) in [-1, 1]."""
    t = torch.linspace(0, 20, n * 3 * size * size, dtype=torch.float64).sin().float()
    return t.reshape(n, 3, size, size)


def only_the_pool(block):
    """The block with nothing but its pooled way, which passes its pools through: the pool's first channels, ≥ 0."""
    for name, p in block.named_parameters():
        torch.nn.init.zeros_(p)
        if name == "branch_pool.conv.weight":
            p.data[range(len(p)), range(len(p))] = 1
        if name == "branch_pool.bn.weight":
            torch.nn.init.ones_(p)
    return lambda x: block.eval()(x)[:, -len(block.branch_pool.conv.weight) :]


def by_hand(x, reduce):
    """What `reduce` makes of each 3 × 3 neighbourhood, as far as it lies inside the picture."""
    h, w = x.shape[2:]
    y = torch.empty_like(x)
    for i in range(h):
        for j in range(w):
            y[:, :, i, j] = reduce(x[:, :, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2].flatten(2))
    return y / (1 + 1e-3) ** 0.5  # a batch normalisation that has learned nothing


@pytest.mark.parametrize("make", [lambda: block_a(8, 8), lambda: block_c(192, 8), lambda: block_e(192, average)])
def test_averages_leave_out_what_lies_beyond_the_border(make):
    pool = only_the_pool(make())
    x = torch.rand(1, 192 if make().branch1x1.conv.in_channels == 192 else 8, 4, 5)
    seen = pool(x)
    expected = by_hand(x, lambda n: n.mean(2))[:, : seen.shape[1]]
    torch.testing.assert_close(seen, expected)
    assert pool(torch.ones_like(x)).amin() > 0.99  # the stock network has 4 / 9 in the corners


def test_the_last_block_takes_maxima():
    pool = only_the_pool(block_e(192, greatest))
    x = torch.rand(1, 192, 4, 5)
    torch.testing.assert_close(pool(x), by_hand(x, lambda n: n.amax(2)))


def test_which_block_pools_how():
    net = Inception()
    ways = {name: list(chain(*getattr(block, "ways", []))) for name, block in net.named_children()}
    averaging = ["Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e", "Mixed_7b"]
    assert [name for name, steps in ways.items() if average in steps] == averaging
    assert [name for name, steps in ways.items() if greatest in steps] == ["Mixed_7c"]


def test_there_are_1008_classes_and_nothing_beside_the_main_way():
    net = Inception()
    assert net.fc.weight.shape == (1008, 2048)
    assert not any("Aux" in name or isinstance(m, torch.nn.Dropout) for name, m in net.named_modules())
    assert sum(p.numel() for p in net.parameters()) == 23_850_960
    assert {m.eps for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {1e-3}
    assert all(m.bias is None for m in net.modules() if isinstance(m, torch.nn.Conv2d))
    assert len(net.state_dict()) == 566


def test_logits_have_no_bias(state):
    net = Inception.of(state)
    f = torch.rand(2, 2048)
    torch.testing.assert_close(net.logits(f), f @ state["fc.weight"].T)


# -- the whole --------------------------------------------------------------------------------------------------------

GOLDEN = {  # what pytorch-fid 0.3.0 makes of the same weights and pictures; torch-fidelity 0.4.0 agrees
    "mean": 0.2562228906918167,
    "std": 0.34551189193635085,
    "first": [0.14078344404697418, 0.08883397281169891, 1.2548222541809082],
    "last": [0.26205161213874817, 0.0, 0.03194272518157959],
}


def test_a_golden_sum(state):
    with torch.inference_mode():
        f = Inception.of(state)(ramp()).double()
    found = {"mean": f.mean(), "std": f.std(), "first": f[0, :3], "last": f[1, -3:]}
    for name, value in GOLDEN.items():
        torch.testing.assert_close(found[name], torch.tensor(value).double(), rtol=1e-4, atol=1e-6)


def test_folded_it_is_the_same(state):
    x = ramp(1, 139)
    with torch.inference_mode():
        plain = Inception.of(state)(x)
        fast = Inception.of(dict(state)).fold()(x.contiguous(memory_format=torch.channels_last))
    assert float((fast - plain).norm() / plain.norm()) < 1e-6


def test_bytes_are_played_as_the_network_was_trained(file, state):
    """(byte − 128) / 128, which is not the picture's own [-1, 1]."""
    v = torch.arange(0, 256, dtype=torch.float32)[:147].repeat(3 * 147).reshape(1, 3, 147, 147)
    with torch.inference_mode():
        seen = FidInception(file)(v / 127.5 - 1)
        other = Inception.of(state)(v / 127.5 - 1)
        torch.testing.assert_close(seen, Inception.of(state)((v - 128) / 128), rtol=1e-4, atol=1e-6)
    assert not torch.allclose(seen, other, rtol=1e-4, atol=1e-6)


def test_bfloat16_is_near_and_says_so(file):
    x = ramp(1, 139)
    with torch.inference_mode():
        exact, half = FidInception(file)(x), FidInception(file, bf16=True)(x)
    assert half.dtype == torch.float32
    assert 0 < float((half - exact).norm() / exact.norm()) < 0.02
    assert FidInception(file, bf16=True).name == FidInception(file).name.replace("inception-", "inception-bf16-")


def test_too_small_a_picture_is_refused(file):
    with pytest.raises(ExtractorError, match="needs 75 pixels or more, not 74 × 80; take --resize clean"):
        FidInception(file)(torch.zeros(1, 3, 74, 80))


# -- its files --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def file(state, tmp_path_factory):
    """PATH#DIGITS of a .pth as the published one, with what a stock network's file has besides."""
    path = tmp_path_factory.mktemp("weights") / "some.pth"
    more = {"Mixed_5b.branch1x1.bn.num_batches_tracked": torch.tensor(0), "AuxLogits.fc.weight": torch.zeros(1000, 768)}
    torch.save(state | more, path)
    return f"{path}#{sha(path)[:8]}"


def sha(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def path_of(file):
    return Path(file.partition("#")[0])


def refused(given, *words):
    with pytest.raises(ExtractorError) as error:
        weights.inception(str(given))
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_without_weights_the_message_names_file_and_hash(monkeypatch):
    monkeypatch.delenv(weights.VARIABLE, raising=False)
    refused("", *weights.FILES, weights.PUBLISHED, "never downloaded", "--weights PATH", "SPARRING_INCEPTION")


def test_a_file_is_known_by_its_hash(file, monkeypatch):
    path = path_of(file)
    refused(path, sha(path), weights.PUBLISHED, f"--weights {path}#{sha(path)[:8]}")
    refused(f"{path}#0123", "eight digits", sha(path))
    refused(f"{path}#01234567", "does not begin with 01234567")
    assert weights.inception(file)[1] == sha(path)

    monkeypatch.setattr(weights, "PUBLISHED", sha(path))
    assert weights.inception(str(path))[1] == sha(path)
    monkeypatch.setenv(weights.VARIABLE, str(path))
    assert weights.inception(None)[1] == sha(path)


def test_a_folder_with_either_name_will_do(file, tmp_path, monkeypatch):
    path = path_of(file)
    refused(tmp_path, "without pt_inception", "or weights-inception")
    monkeypatch.setattr(weights, "PUBLISHED", sha(path))
    (tmp_path / weights.FILES[1]).symlink_to(path)
    assert weights.inception(str(tmp_path))[1] == sha(path)


def test_safetensors_are_the_same_weights(file, state, tmp_path, monkeypatch):
    path, target = path_of(file), tmp_path / "some.safetensors"
    monkeypatch.setattr(weights, "PUBLISHED", sha(path))
    weights.convert(path, target)
    read, digest = weights.inception(str(target))
    assert digest == sha(path)
    assert read.keys() == state.keys()
    assert all(torch.equal(read[k], state[k]) for k in state)

    whole = bytearray(target.read_bytes())
    whole[-5] ^= 1
    target.write_bytes(whole)
    refused(target, "is damaged", "make it again")
    target.write_bytes(whole[:1000])
    refused(target, "cannot be read as safetensors")


def test_other_files_are_refused(tmp_path):
    refused(tmp_path / "none.pth", "does not exist", weights.FILES[0])

    path = tmp_path / "some.pth"
    known = lambda: f"{path}#{sha(path)[:8]}"
    torch.save({"conv.weight": torch.zeros(3)}, path)
    refused(known(), "has no Conv2d_1a_3x3.conv.weight and", "others", "conv.weight", weights.PUBLISHED)
    torch.save([torch.zeros(3)], path)
    refused(known(), "no tensors by name")
    torch.save({"code": Path("here")}, path)
    refused(known(), "no file of plain tensors", "never run")
    path.write_bytes(b"half a file")
    refused(known(), "no file of plain tensors")

    with torch.device("meta"):
        shapes = {k: v.shape for k, v in Inception().state_dict().items() if not k.endswith("num_batches_tracked")}
    stock = {k: torch.zeros(1).expand(shape) for k, shape in shapes.items()} | {"fc.weight": torch.zeros(1000, 2048)}
    torch.save(stock, path)
    refused(known(), "fc.weight has shape (1000, 2048) and should have (1008, 2048)")

    save_file({"conv.weight": torch.zeros(3)}, tmp_path / "some.safetensors")
    refused(tmp_path / "some.safetensors", "has SHA-256")


def test_the_command_measures_by_it(file, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SPARRING_CACHE", str(tmp_path / "cache"))
    x = np.random.default_rng(0).integers(0, 256, (20, 8, 8), np.uint8)
    np.save(tmp_path / "x.npy", x)
    ask = lambda *more: main(["evaluate", str(tmp_path / "x.npy"), "--against", "digits", "-n", "6", "--json", *more])
    monkeypatch.setenv(weights.VARIABLE, file)
    assert ask("--resize", "tf1") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["extractor"] == f"inception-{file[-8:]}-tf1"
    assert found["also"] == []
    assert found["metrics"]["fid"]["value"] > found["ceiling"]["fid"]["value"]

    assert ask("--weights", str(path_of(file))) == 2
    assert f"SHA-256 {sha(path_of(file))}" in capsys.readouterr().err
