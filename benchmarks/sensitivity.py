"""Which measure sees which fault: real samples are spoiled on purpose, and each measure says how far it moved.

The part `sensitivity` of measures.py, which keeps it in results/measures.json.
"""

import numpy as np
import torch
from torch.nn.functional import avg_pool2d, pad

from sparring import worlds
from sparring.extractors.untrained import RandomConv
from sparring.metrics import ON_FEATURES, measure, spectrum
from sparring.metrics.copies import copies
from sparring.spaces import Image

SEEN = [
    "fid",
    "kid",
    "precision",
    "recall",
    "density",
    "coverage",
    "vendi",
    "js",
    "one_nn",
    "c2st",
    "support",
    "spectrum",
]
CLAIMS = {  # the fault: who claims to see it
    "noise": ("fid", "kid", "precision", "density", "js", "one_nn", "c2st", "spectrum"),
    "blur": ("fid", "kid", "js", "one_nn", "c2st", "spectrum"),
    "dropped": ("fid", "kid", "recall", "coverage", "js"),
    "collapse": ("fid", "kid", "recall", "coverage", "vendi", "support"),
    "copies": ("one_nn",),
}


def sensitivity(n):
    """Shift of each measure by each fault, in standard deviations over redraws of real samples in the fakes' place."""
    digits = worlds.open("digits")
    x, y = (
        torch.cat([f(k, 0, held) for k, held in ((1438, False), (359, True))])
        for f in (lambda *a: digits.draw(*a)[0], digits.labels)
    )
    faces = worlds.open("faces", size=32)
    f, hair = faces.draw(2400, 0)[0], faces.attributes(2400, 0)["hair"]
    return {"digits": faults(x, y, Image(1, 8), 900, 400), "faces": faults(f, hair, Image(3, 32), 900, 400)}


def faults(x, labels, space, n, m, redraws=10):
    E = RandomConv(space.channels, space.size)
    with torch.inference_mode():
        of = lambda v: torch.cat([E(space.encode(p)) for p in v.split(256)]).clone()
        whole = of(x)

    def draw(i):
        g = torch.Generator().manual_seed(i)
        order = torch.randperm(len(x), generator=g)
        return order[:n], order[n : n + m], g

    def measured(real, fake, pictures, made):
        on_features = measure(real, fake, {k: ON_FEATURES[k] for k in SEEN if k in ON_FEATURES})
        return {k: v.value for k, v in on_features.items()} | {"spectrum": spectrum(pictures, made).value}

    floor = [measured(whole[a], whole[b], x[a], x[b]) for a, b, _ in map(draw, range(redraws))]
    level = {k: (np.mean(v), np.std(v, ddof=1)) for k in SEEN for v in [[r[k] for r in floor]]}

    a, b, g = draw(100)
    others = torch.tensor(sorted(set(range(len(x))) - set(a.tolist())))
    noise = torch.randn(x[b].shape, generator=g)
    soft = avg_pool2d(pad(x[b].float(), (1, 1, 1, 1), mode="replicate"), 3, 1)
    byte = lambda v: v.round().clamp(0, 255).byte()
    made = {f"noise {s:g}": byte(x[b] + 255 * s * noise) for s in (0.05, 0.1, 0.2)}
    made |= {f"blur {s:g}": byte(x[b] + s * (soft - x[b])) for s in (0.25, 0.5, 1.0)}
    for k in (1, 3, 5):
        kept = others[labels[others] >= k]
        made[f"dropped {k} of {int(labels.max()) + 1} classes"] = x[kept[torch.randperm(len(kept), generator=g)[:m]]]
    made |= {f"collapse to {k}": x[b[torch.arange(m) % k]] for k in (200, 50)}
    copied = {share: torch.cat([x[a[: int(share * m)]], x[b[int(share * m) :]]]) for share in (0.1, 0.5, 1.0)}
    made |= {f"copies {share:.0%}": v for share, v in copied.items()}

    table = {}
    for name, v in made.items():
        got = measured(whole[a], of(v), x[a], v)
        table[name] = {k: round(float((got[k] - level[k][0]) / max(level[k][1], 1e-9)), 1) for k in SEEN}

    rest = others[~torch.isin(others, b)]
    for share, v in ({0.0: x[b]} | copied).items():
        table.setdefault(f"copies {share:.0%}", {})["found"] = copies(x[a], x[rest], v, space).ways

    worst = {fault: [row for name, row in table.items() if name.startswith(fault)] for fault in CLAIMS}
    worst["copies"] = [table["copies 100%"]]
    missed = [f"{k}: {fault}" for fault, ks in CLAIMS.items() for k in ks if worst[fault] and not seen(worst[fault], k)]
    sizes = {"n_real": n, "n_fake": m, "redraws": redraws, "extractor": E.name}
    return sizes | {"z": table, "claimed_and_not_seen": missed, "held": not missed}


def seen(rows, k):
    """Whether some strength of the fault moves the measure by three standard deviations or more."""
    return any(abs(row[k]) >= 3 for row in rows)
