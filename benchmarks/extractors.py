"""What extractors cost, and what learned features are good for: results/extractors.json.

    python benchmarks/extractors.py [--rounds 9]

Times are CPU seconds of one thread; a ratio is the median over rounds in which both sides take turns in one process.
The Inception network has random weights here: its speed does not depend on them, and its differences hardly.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from copy import deepcopy

import numpy as np
import record
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from sparring import data, worlds
from sparring.data import Split
from sparring.extractors import features
from sparring.extractors.learned import STEPS, learn
from sparring.extractors.untrained import Identity, RandomConv
from sparring.metrics import fid
from sparring.nets.inception import Inception
from sparring.spaces import Image

BARS = {
    "folded and channels_last: times as fast": 1.3,
    "folded and channels_last: relative difference": 1e-6,
    "bfloat16: times as fast": 2.5,
}


def network() -> Inception:
    """With weights that let a signal through."""
    g = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        shapes = {k: v.shape for k, v in Inception().state_dict().items() if not k.endswith("num_batches_tracked")}

    def draw(name: str, shape: torch.Size) -> Tensor:
        u = torch.rand(shape, generator=g) * 2 - 1
        if name.endswith("conv.weight"):
            return u * (6 / shape[1:].numel()) ** 0.5
        return u * 0.2 + 1 if name.endswith(("running_var", "bn.weight")) else u * 0.1

    return Inception.of({name: draw(name, shape) for name, shape in shapes.items()})


def inception(rounds: int, batch: int = 8) -> dict[str, float]:
    plain = network()
    folded = deepcopy(plain).fold()
    half = deepcopy(folded).bfloat16()
    x = torch.rand(batch, 3, 299, 299, generator=torch.Generator().manual_seed(1)) * 2 - 1
    last = x.contiguous(memory_format=torch.channels_last)
    ways: dict[str, Callable[[], Tensor]] = {
        "plain": lambda: plain(x),
        "folded": lambda: folded(last),
        "bf16": lambda: half(last.bfloat16()).float(),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    made: dict[str, Tensor] = {}
    with torch.inference_mode():
        for _ in range(rounds + 1):
            for name, way in ways.items():
                began = time.process_time()
                made[name] = way()
                times[name].append(time.process_time() - began)

    ratio = lambda name: statistics.median(a / b for a, b in zip(times["plain"][1:], times[name][1:]))
    apart = lambda name: float((made[name] - made["plain"]).norm() / made["plain"].norm())
    seconds = {f"{name}: seconds a picture": statistics.median(t[1:]) / batch for name, t in times.items()}
    return seconds | {
        "folded and channels_last: times as fast": ratio("folded"),
        "folded and channels_last: relative difference": apart("folded"),
        "bfloat16: times as fast": ratio("bf16"),
        "bfloat16: relative difference": apart("bf16"),
    }


def digits(seed: int) -> dict[str, object]:
    """The share of held-out digits whose class most of the five nearest training digits have, as they are and moved."""
    d, space = data.open(worlds.open("digits")), Image(1, 8)
    began = time.process_time()
    assert d.train.labels is not None
    looks = learn(d.train, space, seed=seed, minutes=1e9)
    seconds = time.process_time() - began
    classes = learn(d.train, space, classes=10, seed=seed, minutes=1e9)

    def rightly(E: nn.Module, x: Tensor) -> float:
        of = lambda x: features(E, space.encode(torch.as_tensor(x)).split(512))
        near = torch.cdist(of(x), of(d.train.x)).topk(5, largest=False).indices.numpy()
        return float(((d.train.labels[near].T == d.heldout.labels).sum(0) > 2).mean())

    x = d.heldout.take(range(len(d.heldout)))[0]
    wide, rng = pad(x.float(), (1, 1, 1, 1), mode="replicate").byte(), np.random.default_rng(seed)
    aside = torch.stack([w[:, r : r + 8, c : c + 8] for w, (r, c) in zip(wide, rng.integers(0, 3, (len(x), 2)))])
    of = {"raw": Identity(), "random": RandomConv(1, 8), "learned": looks.net, "classifier": classes.net}
    found = {
        name: {"as they are": rightly(E, x), "moved by up to a pixel": rightly(E, aside)} for name, E in of.items()
    }
    return {"seed": seed, "steps": STEPS, "seconds of learning": seconds, "read rightly": found}


def floors(redraws: int = 8) -> dict[str, object]:
    """FID of held-out digits against those that a network learned from, and against others: a floor must not care."""
    d, space = data.open(worlds.open("digits")), Image(1, 8)
    order = np.random.default_rng(0).permutation(len(d.train))
    halves = {"learned from": d.train.x[order[: len(order) // 2]], "never seen": d.train.x[order[len(order) // 2 :]]}
    net = learn(Split(halves["learned from"]), space, minutes=1e9).net
    of = lambda x: features(net, space.encode(torch.as_tensor(x)).split(512))
    real, rng = of(d.heldout.x), np.random.default_rng(1)
    draw = lambda x: fid(real, of(x[rng.permutation(len(x))[: len(real)]])).value
    drawn = {name: [draw(x) for _ in range(redraws)] for name, x in halves.items()}
    return {k: {"mean": statistics.mean(v), "sd over redraws": statistics.stdev(v)} for k, v in drawn.items()}


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=9)
    p.add_argument("--seeds", type=int, default=3)
    args = p.parse_args()
    torch.set_num_threads(1)

    speed = inception(args.rounds)
    held = {k: speed[k] <= bar if "difference" in k else speed[k] >= bar for k, bar in BARS.items()}
    document = {
        "proof": "extractors",
        "command": f"python benchmarks/extractors.py --rounds {args.rounds} --seeds {args.seeds}",
        "bars": BARS,
        "held": all(held.values()),
        "inception": speed,
        "digits": [digits(seed) for seed in range(args.seeds)],
        "floor of digits, by a network that learned from half of them": floors(),
    }
    record.write("extractors", document)
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
