"""The measures against other libraries and against the truth: speed, error bars, bias, what sees which fault.

python benchmarks/measures.py               every part (about half an hour of one core)
python benchmarks/measures.py errors bias   these; the other parts of results/measures.json stay as they are

Times are of the process's CPU, one thread, both sides in one process; each is the median of its repeats.
"""

# ruff: noqa: E402
import os

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import argparse
import contextlib
import io
import json
import platform
import resource
import time
from datetime import date
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch.nn.functional import avg_pool2d, pad

import sparring
from sparring import machine, worlds
from sparring.extractors.untrained import RandomConv
from sparring.metrics import MEASURES, ON_FEATURES, fid, fid_inf, frechet, kid, measure, moments, prdc, vendi
from sparring.metrics.copies import copies
from sparring.spaces import Image

RESULT = Path(__file__).parent / "results" / "measures.json"


def timed(repeats, **sides):
    """The median CPU seconds of each side, taken in turn, and what each gave."""
    seconds, gave = {k: [] for k in sides}, {}
    for _ in range(repeats):
        for k, f in sides.items():
            began = time.process_time()
            gave[k] = f()
            seconds[k].append(time.process_time() - began)
    return {k: round(median(v), 3) for k, v in seconds.items()}, gave


def synthetic(n, seed, d=2048, spread=1.0):
    """Features as networks make them: correlated, about half of them zero."""
    g = torch.Generator().manual_seed(0)
    W, b = torch.randn(256, d, generator=g) / 16, torch.randn(d, generator=g) / 2
    g = torch.Generator().manual_seed(seed)
    z = torch.randn(n, 256, generator=g) * spread
    return torch.relu(z @ W + b + 0.3 * torch.randn(n, d, generator=g))


# -- parts ------------------------------------------------------------------------------------------------------------


def trace(n):
    """The trace term of FID from given covariances, as clean-fid (scipy's sqrtm) and torchmetrics (eigvals) take it."""
    from scipy.linalg import sqrtm

    a, b = moments(synthetic(n, 1)), moments(synthetic(n, 2, spread=1.1))
    A, B = a.cov, b.cov
    whole = lambda root: float((a.mean - b.mean).square().sum() + A.trace() + B.trace() - 2 * root)
    seconds, value = timed(
        1,
        ours=lambda: frechet(a, b),
        sqrtm=lambda: whole(np.trace(sqrtm((A @ B).numpy()).real)),
        eigvals=lambda: whole(torch.linalg.eigvals(A @ B).sqrt().real.sum()),
    )
    return compared(seconds, value, {"sqrtm": 10, "eigvals": 2.5}, n, 1e-8)


def few(n=500):
    """FID of 500 samples of 2,048 features, where the covariances have no full rank."""
    from scipy.linalg import sqrtm

    x, y = synthetic(n, 1), synthetic(n, 2, spread=1.1)
    a, b = (np.cov(z.double().numpy(), rowvar=False) for z in (x, y))
    rest = float((x.double().mean(0) - y.double().mean(0)).square().sum()) + np.trace(a) + np.trace(b)
    seconds, value = timed(
        1,
        ours=lambda: fid(x, y, se=False).value,
        eigvals=lambda: rest - 2 * float(torch.linalg.eigvals(torch.tensor(a) @ torch.tensor(b)).sqrt().real.sum()),
        sqrtm=lambda: rest - 2 * float(np.trace(sqrtm(a @ b).real)),
    )
    found = compared(seconds, value, {"sqrtm": 50, "eigvals": 50}, n, None)
    return found | {"itself": fid(x, x, se=False).value, "itself_bar": 1e-9}


def features(n):
    """FID from features: moments and trace, against numpy's covariance and sqrtm, and against torchmetrics' way."""
    x, y = synthetic(n, 1), synthetic(n, 2, spread=1.1)

    def torchmetrics_way():
        sums = []
        for z in (x.double(), y.double()):
            total, square = torch.zeros(z.shape[1]).double(), torch.zeros(z.shape[1], z.shape[1]).double()
            for part in z.split(64):
                total += part.sum(0)
                square += part.T @ part
            mean = total / len(z)
            sums.append((mean, (square - len(z) * torch.outer(mean, mean)) / (len(z) - 1)))
        (m, A), (k, B) = sums
        root = torch.linalg.eigvals(A @ B).sqrt().real.sum()
        return float((m - k).square().sum() + A.trace() + B.trace() - 2 * root)

    seconds, value = timed(1, ours=lambda: fid(x, y, se=False).value, torchmetrics=torchmetrics_way)
    seconds["ours with its error"] = timed(1, ours=lambda: fid(x, y))[0]["ours"]
    return compared(seconds, value, {"torchmetrics": 1.8}, n, 1e-6)


def neighbours(n):
    """Precision, recall, density and coverage against their authors' package, and the extra memory."""
    from prdc import compute_prdc

    x, y = synthetic(n, 1), synthetic(n, 2, spread=1.02)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ours, mine = timed(1, ours=lambda: prdc(x, y, k_union=5))
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20

    def theirs():
        with contextlib.redirect_stdout(io.StringIO()):
            return compute_prdc(x.double().numpy(), y.double().numpy(), 5)

    seconds, value = timed(1, prdc=theirs)
    equal = all(abs(float(value["prdc"][k]) - m.value) < 1e-12 for k, m in mine["ours"].items())
    found = compared(ours | seconds, {}, {"prdc": 4}, n, None)
    return found | {"equal": equal, "extra_gib": round(memory, 3), "extra_gib_bar": 0.35, "k": 5}


def kernels(n):
    """KID of all pairs against torchmetrics' 100 subsets of 1,000 (ten of them timed, times ten)."""
    from torchmetrics.image.kid import poly_mmd

    x, y = synthetic(n, 1), synthetic(n, 2, spread=1.1)

    def subsets():
        for i in range(10):
            g = torch.Generator().manual_seed(i)
            poly_mmd(*(z[torch.randperm(n, generator=g)[:1000]] for z in (x, y)))

    seconds, value = timed(1, ours=lambda: kid(x, y), subsets=subsets)
    seconds["subsets"] = round(10 * seconds["subsets"], 3)
    exact = float(poly_mmd(x.double(), y.double())) if n <= 4000 else None
    found = compared(seconds, {}, {"subsets": 1 / 0.75}, n, None)
    return found | ({"relative_difference": abs(value["ours"].value / exact - 1), "bar": 1e-6} if exact else {})


def diversity(n):
    """The Vendi score by features against samples × samples."""
    x = synthetic(n, 1)

    def direct():
        z = torch.nn.functional.normalize(x.double())
        lam = torch.linalg.eigvalsh(z @ z.T / n).clamp_min(0)
        return float((-torch.special.xlogy(lam, lam).sum()).exp())

    seconds, value = timed(1, ours=lambda: vendi(x, x).value, direct=direct)
    return compared(seconds, value, {"direct": 50}, n, None)


def compared(seconds, value, bars, n, closeness):
    ratios = {k: round(seconds[k] / seconds["ours"], 2) for k in bars}
    found = {"n": n, "cpu_seconds": seconds, "times_as_fast": ratios, "bars": bars}
    found["held"] = all(ratios[k] >= bar for k, bar in bars.items())
    if closeness:
        apart = {k: abs(v / value["ours"] - 1) for k, v in value.items() if k != "ours"}
        found |= {"relative_difference": apart, "difference_bar": closeness}
        found["held"] &= all(v <= closeness for v in apart.values())
    return found


def errors(n):
    """How often 90 % intervals hold the mean of 100 fresh draws at the same n; the bar is 85 to 97 in 100."""

    def gaussian(d, scale, shift, n, m):
        def draw(i):
            g = torch.Generator().manual_seed(i)
            return torch.randn(n, d, generator=g), torch.randn(m, d, generator=g) * scale + shift

        return draw

    sources = {
        "one source, 16 dimensions, 300 and 300": gaussian(16, 1.0, 0.0, 300, 300),
        "two sources, 16 dimensions, 300 and 250": gaussian(16, 0.9, 0.2, 300, 250),
        "one source, 64 dimensions, 500 and 500": gaussian(64, 1.0, 0.0, 500, 500),
        "two sources, 64 dimensions, 500 and 300": gaussian(64, 1.1, 0.1, 500, 300),
    }
    found = {}
    for name, draw in sources.items():
        runs = [measure(*draw(i), MEASURES) for i in range(100)]
        rows = {}
        for k in MEASURES:
            v, se = torch.tensor([[r[k].value, r[k].se] for r in runs], dtype=torch.float64).T
            held = float(((v - v.mean()).abs() <= 1.645 * se).double().mean())
            rows[k] = {"held": round(held, 2), "se_over_sd": round(float(se.mean() / v.std()), 2)}
        found[name] = rows
    inside = [0.85 <= r["held"] <= 0.97 for rows in found.values() for r in rows.values()]
    return {"sources": found, "bar": [0.85, 0.97], "inside": f"{sum(inside)} of {len(inside)}", "held": all(inside)}


def bias(n, d=64, repeats=40):
    """What is left of FID's bias by two sizes, and by least squares over 15 sizes on 1/n, against the truth."""
    truth = d * 0.1**2 + d * 0.1**2
    left = {"fid": [], "two sizes (ours)": [], "15 sizes": []}
    for i in range(repeats):
        g = torch.Generator().manual_seed(i)
        x, y = torch.randn(1000, d, generator=g), torch.randn(1000, d, generator=g) * 1.1 + 0.1
        sizes = np.linspace(300, 1000, 15).astype(int)
        drawn = [torch.randperm(1000, generator=g)[:k] for k in sizes]
        curve = [fid(x[j], y[j], se=False).value for j in drawn]
        for k, v in zip(
            left, (fid(x, y, se=False).value, fid_inf(x, y, se=False).value, np.polyfit(1 / sizes, curve, 1)[1])
        ):
            left[k].append(float(v) - truth)
    rows = {k: {"bias": float(np.mean(v)), "of_mean": float(np.std(v)) / repeats**0.5} for k, v in left.items()}
    share = abs(rows["two sizes (ours)"]["bias"]) / abs(rows["15 sizes"]["bias"])
    return {"d": d, "n": 1000, "truth": truth, "left": rows, "share": round(share, 2), "bar": 0.5, "held": share <= 0.5}


# -- what sees which fault --------------------------------------------------------------------------------------------

SEEN = ["fid", "kid", "precision", "recall", "density", "coverage", "vendi", "js", "one_nn", "c2st", "support"]


def sensitivity(n):
    """Shift of each measure by each fault, in standard deviations over redraws of real samples in the fakes' place."""
    digits = worlds.open("digits")
    x, y = (
        torch.cat([f(k, 0, held) for k, held in ((1438, False), (359, True))])
        for f in (lambda *a: digits.draw(*a)[0], digits.labels)
    )
    faces = worlds.open("faces", size=32)
    f, kinds = faces.draw(2400, 0)[0], None
    return {"digits": faults(x, y, Image(1, 8), 900, 800), "faces": faults(f, kinds, Image(3, 32), 900, 800)}


def faults(x, labels, space, n, m, redraws=8):
    E = RandomConv(space.channels, space.size)
    with torch.inference_mode():
        of = lambda v: torch.cat([E(space.encode(p)) for p in v.split(256)]).clone()
        whole = of(x)

    def draw(i):
        g = torch.Generator().manual_seed(i)
        order = torch.randperm(len(x), generator=g)
        return order[:n], order[n : n + m], g

    def measured(real, fake):
        return {k: v.value for k, v in measure(real, fake, {k: ON_FEATURES[k] for k in SEEN}).items()}

    floor = [measured(whole[a], whole[b]) for a, b, _ in map(draw, range(redraws))]
    level = {k: (np.mean(v), np.std(v, ddof=1)) for k in SEEN for v in [[r[k] for r in floor]]}

    a, b, g = draw(100)
    noise = torch.randn(x[b].shape, generator=g)
    soft = avg_pool2d(pad(x[b].float(), (1, 1, 1, 1), mode="replicate"), 3, 1)
    byte = lambda v: v.round().clamp(0, 255).byte()
    made = {f"noise {s:g}": byte(x[b] + 255 * s * noise) for s in (0.05, 0.1, 0.2)}
    made |= {f"blur {s:g}": byte(x[b] + s * (soft - x[b])) for s in (0.25, 0.5, 1.0)}
    if labels is not None:
        for k in (1, 3, 5):
            kept = b[labels[b] >= k]
            made[f"{k} of 10 classes dropped"] = x[kept[torch.arange(m) % len(kept)]]
    made |= {f"collapse to {k}": x[b[torch.arange(m) % k]] for k in (200, 50)}
    copied = {share: torch.cat([x[a[: int(share * m)]], x[b[int(share * m) :]]]) for share in (0.1, 0.5, 1.0)}
    made |= {f"{share:.0%} copies": v for share, v in copied.items()}

    table = {}
    for name, v in made.items():
        got = measured(whole[a], of(v))
        table[name] = {k: round(float((got[k] - level[k][0]) / max(level[k][1], 1e-9)), 1) for k in SEEN}
    rest = torch.tensor(sorted(set(range(len(x))) - set(a.tolist()) - set(b.tolist())))
    for share, v in ({0.0: x[b]} | copied).items():
        if len(rest) >= 50:
            table.setdefault(f"{share:.0%} copies", {})["copies found"] = copies(x[a], x[rest], v, space).ways
    return {"n_real": n, "n_fake": m, "redraws": redraws, "extractor": E.name, "z": table}


PARTS = {f.__name__: f for f in (errors, bias, sensitivity, few, trace, neighbours, kernels, features, diversity)}


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("parts", nargs="*", help=", ".join(PARTS))
    p.add_argument("-n", type=int, default=10_000, help="samples of each side where speed is compared")
    args = p.parse_args()
    if unknown := [name for name in args.parts if name not in PARTS]:
        p.error(f"{', '.join(unknown)}: none of {', '.join(PARTS)}")
    torch.set_num_threads(1)

    for name in args.parts or PARTS:
        part = PARTS[name](500 if name == "few" else args.n)
        document = json.loads(RESULT.read_text()) if RESULT.exists() else {"parts": {}}
        document["parts"][name] = {"about": PARTS[name].__doc__, **part}
        document |= {
            "command": "python benchmarks/measures.py",
            "date": date.today().isoformat(),
            "versions": {
                "sparring": sparring.__version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
            "hardware": machine.hardware(torch.device("cpu")) | {"threads": 1},
        }
        RESULT.write_text(json.dumps(document, indent=1) + "\n")
        print(name, json.dumps(part)[:2000], flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
