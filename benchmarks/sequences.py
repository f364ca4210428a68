"""Texts: what each way of writing reaches where the whole law is known, what fails as it must, what it costs.

    python benchmarks/sequences.py grammar gumbel likelihood pretrained english oracle [--seeds 3]
    python benchmarks/sequences.py small anchors controls speed

Each part writes results/sequences-PART.json.  Seeds of the same command that are there already are kept;
with --afresh they are run again.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from math import inf, log
from pathlib import Path

import record
import torch
from torch import Tensor

from sparring import data, generators, policy, worlds
from sparring.losses import nonsaturating
from sparring.metrics.likelihood import divergences, entropy_gap
from sparring.nets import sizes
from sparring.policy import to_go
from sparring.schedules import constant
from sparring.spaces import Spec, Tokens
from sparring.train import Method, State, step
from sparring.worlds import oracle
from sparring.worlds.automaton import Strings
from sparring.worlds.oracle import Oracle

BARS = {"valid": (0.95, 1.0), "forward_kl": (0.0, 0.15), "entropy_gap": (-0.4, 0.4), "unique_gap": (-0.04, 0.04)}
ROWS: dict[str, tuple[str, dict[str, tuple[float, float]]]] = {  # what is asked for, and what of it
    "grammar": ("grammar", BARS),
    "gumbel": ("grammar --route gumbel", {"valid": (0.85, 1.0), "forward_kl": (0.0, 0.5)}),
    "likelihood": ("grammar --route likelihood", {}),
    "pretrained": ("grammar --pretrain 100000", {}),
    "english": ("english --samples 1000000", {"nesting": (0.85, 1.0), "agreement": (0.85, 1.0)}),
    "oracle": ("oracle", {}),
    "oracle-likelihood": ("oracle --route likelihood", {}),
}
SHORT = ("--samples", "100000")
CONTROLS = {  # what takes the critic's word away, and what listens too far ahead
    "as it is": SHORT,
    "every reward is 1": (*SHORT, "--reward", "benchmarks.sequences:always"),
    "rewards of other tokens": (*SHORT, "--reward", "benchmarks.sequences:shuffled"),
    "a critic that never learns": (*SHORT, "--lr_D", "1e-12"),
    "discount .9": (*SHORT, "--discount", "0.9"),
}


def always(d: Tensor) -> Tensor:
    """1, whatever D says."""
    return torch.ones_like(d)


def shuffled(d: Tensor) -> Tensor:
    """What D says of some other token."""
    r = policy.REWARDS["sigmoid"](d).flatten()
    return r[torch.randperm(len(r))].view_as(d)


def trained(data: str, options: tuple[str, ...], seed: int) -> dict:
    """`sparring train DATA` with these options: what it reached by the exact law, and what it cost."""
    with tempfile.TemporaryDirectory() as scratch:
        run, before = Path(scratch) / "run", resource.getrusage(resource.RUSAGE_CHILDREN)
        command = ["-m", "sparring", "train", data, *options, "--seed", str(seed), "--threads", "1"]
        here = Path(__file__).parent
        subprocess.run(
            [sys.executable, *command, "--run", str(run)],
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{here.parent}{os.pathsep}{here}"},
            stdout=subprocess.DEVNULL,
            check=True,
            cwd=here.parent,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        found = judged(run / "generator", data, seed)
        symptoms = sorted({json.loads(line)["name"] for line in lines(run / "findings.jsonl")})
    return {"seed": seed, **found, "cpu_seconds": round(cpu, 1), "findings": symptoms}


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def judged(place: Path, data_of: str, seed: int, n: int = 4000) -> dict[str, float]:
    """Exact measures of n texts of a saved generator, and n held-out ones."""
    G, spec, _ = generators.load_generator(place)
    world = few() if ":" in data_of else worlds.open(data_of)
    real = data.open(world).heldout.take(range(n))[0].long()
    fake = generators.draw(G, spec, n, seed)
    score = lambda x: G.score(x).sum(1).double()  # type: ignore[operator]
    exact = divergences(real, fake, world.logp, score)  # type: ignore[attr-defined]
    gap, _ = entropy_gap(world.entropy, score(fake))  # type: ignore[attr-defined]
    told, of_real = world.judge(fake[:2000]), world.judge(real[:2000])
    found = {"unique": told.pop("different"), **told, "entropy_gap": gap}
    found |= {"unique_gap": found["unique"] - of_real["different"]}
    found |= {k: m.value for k, m in exact.items()}
    return {k: round(v, 4) for k, v in found.items()}


def reached(part: str, args: argparse.Namespace) -> None:
    """One recipe, over seeds."""
    asked, bars = ROWS[part]
    command = f"sparring train {asked} --seed N --threads 1"
    rows = known(part, command, args)
    for seed in range(args.seeds):
        if seed not in {row["seed"] for row in rows}:
            rows.append(trained(asked.split()[0], tuple(asked.split()[1:]), seed))
            verdict = dict(held=held(rows, bars), bars=bars) if bars else {}
            write(part, command, **verdict, over_seeds=spread(rows), seeds=rows)


def held(rows: list[dict], bars: dict[str, tuple[float, float]]) -> bool:
    return all(low <= row[k] <= high for row in rows for k, (low, high) in bars.items())


def spread(rows: list[dict]) -> dict:
    return record.over_seeds(rows, [k for k, v in rows[0].items() if isinstance(v, float)], 4)


FEW = 500
SMALL = ("", "--forget 0.5", *(f"--route likelihood --samples {n}" for n in (8_000, 16_000, 32_000, 64_000, 128_000)))


def few() -> Strings:
    """The grammar's texts, of which there are 500 to learn from."""
    world = worlds.open("grammar")
    world.name, world.examples = "few-grammar", (FEW, world.examples[1])
    return world  # type: ignore[return-value]


def small(args: argparse.Namespace) -> None:
    """500 texts to learn from: the game, and likelihood stopped at each of many lengths, the best of which is early
    stopping by the very measure that judges it."""
    command = "sparring train benchmarks.sequences:few OPTIONS --seed N --threads 1"
    rows = known("small", command, args)
    for seed in range(args.seeds):
        for options in SMALL:
            if (options, seed) not in {(r["options"], r["seed"]) for r in rows}:
                found = trained("benchmarks.sequences:few", tuple(options.split()), seed)
                rows.append({"options": options, **found})
                each = {o: spread([r for r in rows if r["options"] == o]) for o in {r["options"]: 0 for r in rows}}
                write("small", command, over_seeds=each, seeds=rows)


def anchors(args: argparse.Namespace, n: int = 5_000) -> None:
    """What lies between a generator and the oracle, in nats a token: likelihood alone is won by cheaters."""
    found: dict[str, object] = {}
    for vocab in (100, 500, 5000):
        drawn = [Oracle(vocab, seed=seed) for seed in range(args.seeds)]
        told = [of_anchors(world, n) for world in drawn]
        found[str(vocab)] = {k: {m: mean_of([t[k][m] for t in told]) for m in v} for k, v in told[0].items()}
    command = f"python benchmarks/sequences.py anchors --seeds {args.seeds}"
    write("anchors", command, oracles="N(0, 1) weights, 20 tokens, one for each seed", found=found)
    print(json.dumps(found, indent=1))


def of_anchors(world: Oracle, n: int) -> dict[str, dict[str, float]]:
    """nll under the oracle; both divergences where the law of the anchor is known."""
    L, real = world.length, world.draw(n, 1)[0]
    p = world.logp(real) / L
    found = {"real": {"nll": -p.mean().item(), "entropy": world.entropy / L}}
    made = oracle.anchors(world, n)
    for name, x in made.items():
        found[name] = {"nll": -world.logp(x).mean().item() / L, "different": len(x.unique(dim=0)) / n}
    law = {"uniform": lambda x: torch.full((len(x),), -log(world.vocab))}
    for by in (1.25, 1.5, 2.0):
        law[f"sharpened {by:g}"] = lambda x, by=by: world.logp(x, by) / L
    for name, q in law.items():
        x = made[name]
        found[name]["forward_kl"] = (p - q(real)).mean().item()
        found[name]["reverse_kl"] = q(x).mean().item() + found[name]["nll"]
    found["replay"] |= {"forward_kl": inf, "reverse_kl": found["replay"]["nll"] - log(n) / L}
    return found


def mean_of(values: list[float]) -> object:
    return {k: round(v, 3) for k, v in record.span(values).items()} if max(values) < inf else "infinite"


def controls(args: argparse.Namespace) -> None:
    """A quarter of the samples, seed 0, without a critic worth listening to."""
    command = f"sparring train grammar {' '.join(SHORT)} --seed 0 --threads 1"
    rows = {row["control"]: row for row in known("controls", command, args)}
    for name, options in CONTROLS.items():
        if name not in rows:
            rows[name] = {"control": name, "options": " ".join(options), **trained("grammar", options, 0)}
            write("controls", command, seeds=list(rows.values()))


# -- speed -------------------------------------------------------------------------------------------------------------


def speed(_: argparse.Namespace, rounds: int = 15) -> None:
    """Tokens a second of a generator of 5,000 words, and a step beside a loop written by hand; CPU times, in turns."""
    torch.manual_seed(0)
    spec = Spec(Tokens(20, 5000))
    found: dict[str, object] = {}
    for net in ("recurrent", "attentive"):
        G, _ = sizes.build(net, spec, None, 128)
        z = G.prior.sample(64)  # type: ignore[union-attr]
        G.write(z)  # type: ignore[operator]
        times = [timed(partial(G.write, z), 4) for _ in range(rounds)]  # type: ignore[operator]
        found[f"tokens a second, {net} of width 128, vocabulary 5,000, batch 64"] = round(
            64 * 20 / statistics.median(times)
        )
    for name, space, batch, width in (("grammar", Tokens(16, 11), 256, 64), ("5,000 words", Tokens(20, 5000), 64, 128)):
        ratios = []
        x = space.encode(torch.randint(1, space.vocab, (batch, space.length)))
        ours, bare = step_of_ours(space, width), by_hand(space, width)
        for _ in range(rounds + 2):
            ratios.append(timed(partial(ours, x), 2) / timed(partial(bare, x), 2))
        ratios = ratios[2:]
        found[f"step over bare loop, {name}"] = {
            "median": round(statistics.median(ratios), 3),
            "min": round(min(ratios), 3),
            "max": round(max(ratios), 3),
        }
    write("speed", "python benchmarks/sequences.py speed", found=found)
    print(json.dumps(found, indent=1))


def timed(f: Callable[[], object], times: int) -> float:
    """CPU seconds of one call."""
    began = time.process_time()
    for _ in range(times):
        f()
    return (time.process_time() - began) / times


def step_of_ours(space: Tokens, width: int) -> Callable[[Tensor], object]:
    s = State.begin(*sizes.build("recurrent", Spec(space), None, width))
    m = Method(loss=nonsaturating, penalties=(), generator_loss=policy.score_function(), lr_G=constant(1e-3))
    return lambda x: step(m, s, x)


def by_hand(space: Tokens, width: int) -> Callable[[Tensor], None]:
    """The same game written out: texts twice, their score, two backward passes; no seeds, no averages, no log."""
    G, D = sizes.build("recurrent", Spec(space), None, width)
    opt_G, opt_D = (torch.optim.Adam(net.parameters(), 1e-3, fused=True) for net in (G, D))
    bce = torch.nn.functional.softplus

    def round_(x: Tensor) -> None:
        G.requires_grad_(False)
        D.requires_grad_(True)
        fake = G(G.prior.sample(len(x)))  # type: ignore[operator, union-attr]
        opt_D.zero_grad()
        (bce(-D(x)) + bce(D(fake))).mean().backward()
        opt_D.step()

        G.requires_grad_(True)
        D.requires_grad_(False)
        fake, logp = G.sample(G.prior.sample(len(x)))  # type: ignore[operator, union-attr]
        with torch.no_grad():
            gain = to_go(2 * D(fake).sigmoid() - 1, 0.2)
        opt_G.zero_grad()
        (-(gain - gain.mean()) * logp).mean().backward()
        opt_G.step()

    return round_


# -- files -------------------------------------------------------------------------------------------------------------


def known(part: str, command: str, args: argparse.Namespace) -> list[dict]:
    """The rows of this very command that results/ holds, if they are to be kept."""
    return [] if args.afresh else record.seeds_of(f"sequences-{part}", command)


def write(part: str, command: str, **told: object) -> None:
    name = f"sequences-{part}"
    record.write(name, {"proof": name, "command": command, **told})


PARTS = {
    **{part: partial(reached, part) for part in ROWS},
    **{f.__name__: f for f in (small, anchors, controls, speed)},
}


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("parts", nargs="+", choices=PARTS)
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--afresh", action="store_true", help="run again what results/ holds already")
    args = p.parse_args()
    torch.set_num_threads(1)
    for part in args.parts:
        PARTS[part](args)


if __name__ == "__main__":
    main()
