"""Laws of what is kept of a stream: the whole is its parts, in any order, over any processes, and from one source."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sparring.metrics import Bank, Labels, RunningMoments, am, fid, inception_score, kid, mode_score, realism

ROOT = Path(__file__).parent.parent


def normal(n, d, seed=0, shift=0.0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + shift


def kept(kind, x, cuts):
    whole = kind(x.shape[1])
    for part in x.split(cuts):
        whole.update(part)
    return whole


def test_moments_of_a_stream_give_the_fid_of_the_whole():
    x, y = normal(300, 8, shift=3), normal(200, 8, 1, 3.3)
    a, b = kept(RunningMoments, x, [100, 1, 0, 199]), kept(RunningMoments, y, [200])
    whole, streamed = fid(x, y), fid(a, b)
    assert streamed.value == pytest.approx(whole.value, abs=1e-9)
    assert streamed.se == pytest.approx(whole.se, rel=0.2)  # as of Gaussians, which these are
    assert (streamed.n_real, streamed.n_fake) == (300, 200)


@pytest.mark.parametrize("kind", [RunningMoments, Bank])
def test_merged_and_saved_accumulators_are_the_whole(kind):
    x = normal(90, 5)
    a = kept(kind, x[:50], [30, 20]).merge(kind(5)).merge(kept(kind, x[50:], [40]))
    b = kind(5)
    b.load_state_dict(a.state_dict())
    for one in (a, b):
        assert len(one) == 90
        assert fid(*[kept(kind, x, [90])] * 2).value == pytest.approx(fid(one, one).value, abs=1e-9)
    if kind is Bank:
        assert torch.equal(a.features, x)
        assert torch.equal(b.features, x)


def test_ids_put_a_bank_in_order_and_count_each_sample_once():
    x = normal(20, 3)
    bank = Bank(3).update(x[10:], torch.arange(10, 20)).update(x[:12], torch.arange(12))
    assert torch.equal(bank.features, x)
    assert len(bank) == 20
    assert realism(bank, bank).n_real == 20


def test_labels_of_a_stream_give_the_scores_of_the_whole():
    x, y = normal(100, 4) * 3, normal(80, 4, 1) * 2
    a, b = kept(Labels, x, [50, 50]), kept(Labels, y, [79, 1])
    assert inception_score(b).value == pytest.approx(inception_score(y).value, rel=1e-12)
    assert am(a, b).value == pytest.approx(am(x, y).value, rel=1e-12)
    assert mode_score(a, b).value == pytest.approx(mode_score(x, y).value, rel=1e-12)


def test_arrays_and_tensors_and_banks_are_one():
    x, y = normal(60, 4), normal(50, 4, 1)
    locked = x.numpy().copy()
    locked.setflags(write=False)
    for f in (fid, kid):
        assert f(locked, y.double().numpy()).value == f(x, y).value
        assert f(Bank(4).update(x), Bank(4).update(y)).value == f(x, y).value


def test_a_measure_says_what_it_was_measured_on():
    found = kid(*(Bank(4, "dino at 224, clean").update(normal(n, 4)) for n in (60, 50)))
    assert (found.n_real, found.n_fake) == (60, 50)
    assert found.provenance == {"measure": "kid", "features": "dino at 224, clean"}


def test_sets_of_different_extractors_or_resizes_are_refused():
    a, b = Bank(4, "inception, clean").update(normal(60, 4)), Bank(4, "inception, tf1").update(normal(60, 4))
    with pytest.raises(ValueError, match="inception, clean and of inception, tf1 cannot be compared; use one"):
        fid(a, b)
    with pytest.raises(ValueError, match="cannot be compared"):
        a.merge(b)
    with pytest.raises(ValueError, match="cannot be compared"):
        fid(RunningMoments(4, "a").update(a.features), RunningMoments(4, "b").update(a.features))


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: Bank(4).update(torch.zeros(3, 5)), r"features of shape \(3, 5\) for a bank of 4"),
        (lambda: Bank(4).update(torch.zeros(3, 4), torch.arange(2)), "2 ids for 3 samples"),
        (lambda: Bank(1).update(torch.zeros(3, 1)).update(torch.zeros(3, 1), torch.arange(3)), "some batches have ids"),
        (lambda: RunningMoments(4).update(torch.zeros(3, 5)), r"features of shape \(3, 5\) for moments of 4"),
        (lambda: RunningMoments(1).update(torch.tensor([[torch.nan]])), "1 samples with NaN"),
        (lambda: fid(RunningMoments(2), RunningMoments(2)), "real has 0 samples .* 2 or more"),
        (lambda: fid(RunningMoments(2), RunningMoments(3)), "real has 2 features and fake 3"),
        (lambda: Labels(3).update(torch.zeros(4, 2)), r"logits of shape \(4, 2\) for 3 classes"),
        (lambda: kid(np.zeros((9, 2), np.uint8), np.zeros((9, 2))), "real is uint8 and fake float64: bytes"),
        (lambda: kid(torch.zeros(9, 2), torch.zeros(9, 2).byte()), "bring both to one form"),
        (lambda: kid(np.zeros((9, 2)), np.full((9, 2), 1e300)), "fake has 9 samples with NaN or infinite features"),
        (lambda: kid(torch.zeros(9, 2), torch.zeros(3, 2)), "fake has 3 samples and this measure needs 4 or more"),
    ],
)
def test_what_cannot_be_kept_is_refused(call, told):
    with pytest.raises(ValueError, match=told):
        call()


RANKS = """
import json, os, sys, torch, torch.distributed as dist
from sparring.metrics import Bank, Labels, RunningMoments, am, fid, kid, prdc

def share(rank, ranks, seed, twice):  # uneven, the last of four has nothing; with ids, some samples come twice
    x = torch.randn(120, 6, generator=torch.Generator().manual_seed(seed)) + seed / 4
    ends = {1: [0, 120], 2: [0, 90, 120], 4: [0, 70, 100, 120, 120]}[ranks][rank : rank + 2]
    ids = torch.arange(max(ends[0] - 10 * twice, 0), ends[1])
    return x[ids], ids

def play(rank, ranks):
    sent, found, messages = [], {}, []
    for name in ("all_reduce", "all_gather"):
        setattr(dist, name, lambda *a, f=getattr(dist, name), **k: (sent.append(1), f(*a, **k))[1])

    for kind, measures in ((Bank, (kid, prdc, fid)), (RunningMoments, (fid,)), (Labels, (am,))):
        two = []
        for seed in (0, 1):
            (x, ids), kept = share(rank, ranks, seed, kind is Bank), kind(6)
            for part in torch.arange(len(x)).split(7):
                kept.update(*((x[part], ids[part]) if kind is Bank else (x[part],)))
            before = len(sent)
            two.append(kept.all_reduce())
            messages.append(len(sent) - before)
        for f in measures:
            m = f(*two)
            found[kind.__name__ + " " + f.__name__] = [v.value for v in m.values()] if isinstance(m, dict) else m.value
    if rank == ranks - 1:
        json.dump([found, messages], open(f"{sys.argv[1]}/{ranks}.json", "w"))

play(0, 1)
for ranks in (2, 4):
    children = []
    for rank in range(ranks):
        children.append(os.fork())
        if not children[-1]:
            dist.init_process_group("gloo", f"file://{sys.argv[1]}/meet{ranks}", rank=rank, world_size=ranks)
            play(rank, ranks)
            dist.destroy_process_group()
            os._exit(0)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * ranks
"""


def test_ranks_uneven_and_empty_are_one(tmp_path):
    (tmp_path / "ranks.py").write_text(RANKS)
    command = [sys.executable, str(tmp_path / "ranks.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]

    found, messages = {}, {}
    for n in (1, 2, 4):
        found[n], messages[n] = json.loads((tmp_path / f"{n}.json").read_text())
    for n in (2, 4):
        assert set(messages[n]) == {2}
        for name, value in found[n].items():
            exact = name.startswith("Bank")  # bit for bit, whatever the shares
            assert value == (found[1][name] if exact else pytest.approx(found[1][name], abs=1e-9)), name
