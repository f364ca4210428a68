"""What a step costs beside a bare loop, what bfloat16 gains, what data, probes and the log take: results/speed.json.

    python benchmarks/speed.py [--threads 2] [--rounds 15]

Every figure is a median of ratios of CPU times, taken in turns, so that a noisy machine disturbs both sides alike.
"""

import argparse
import gc
import json
import resource
import statistics
import time
from collections.abc import Callable

import record
import torch
from torch import nn
from torch.nn.functional import softplus

from sparring import data, worlds
from sparring.nets import sizes
from sparring.penalties import r1, r2
from sparring.priors import Normal
from sparring.probes import panel, probe
from sparring.schedules import constant
from sparring.spaces import Image, Spec
from sparring.tally import Tally
from sparring.train import Method, State, step

GAMMA = 0.2
METHOD = dict(
    penalties=((r1, constant(GAMMA)), (r2, constant(GAMMA))),
    lr_G=constant(1e-3),
    lr_D=constant(1e-3),
    beta2=constant(0.99),
)


def bare(G: nn.Module, D: nn.Module, bf16: bool) -> Callable[[torch.Tensor], None]:
    """The same game written out by hand: the floor."""
    opt_G, opt_D = (torch.optim.Adam(net.parameters(), 1e-3, (0.0, 0.99), fused=True) for net in (G, D))
    ema = [p.detach().clone() for p in G.parameters()]

    def round_(x: torch.Tensor) -> None:
        G.requires_grad_(False)
        D.requires_grad_(True)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            real = x.detach().requires_grad_()
            with torch.no_grad():
                fake = G(G.prior.sample(len(x)))
            fake = fake.requires_grad_()
            d_real, d_fake = D(real), D(fake)
            loss = softplus(d_fake - d_real)
            for score, at in ((d_real, real), (d_fake, fake)):
                (slope,) = torch.autograd.grad(score.sum(), at, create_graph=True)
                loss = loss + GAMMA / 2 * slope.square().sum((1, 2, 3))
        opt_D.zero_grad()
        loss.mean().backward()
        opt_D.step()

        G.requires_grad_(True)
        D.requires_grad_(False)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            with torch.no_grad():
                d_real = D(x)
            loss = softplus(d_real - D(G(G.prior.sample(len(x)))))
        opt_G.zero_grad()
        loss.mean().backward()
        opt_G.step()
        torch._foreach_lerp_(ema, [p.detach() for p in G.parameters()], 0.01)

    return round_


def pair(spec: Spec, channels_last: bool = True) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return tuple(net.to(memory_format=layout) for net in sizes.build("quick", spec, Normal(64)))


def ours(spec: Spec, bf16: bool) -> Callable[[torch.Tensor], None]:
    s, m = State.begin(*pair(spec)), Method(**METHOD, bf16=bf16)
    return lambda x: step(m, s, x)


def ratio(a: Callable[[], object], b: Callable[[], object], rounds: int, each: int = 4) -> dict[str, float]:
    """Median, lowest and highest of a's CPU time over b's."""
    found = []
    for _ in range(rounds + 2):
        times = []
        for f in (a, b):
            began = time.process_time()
            for _ in range(each):
                f()
            times.append(time.process_time() - began)
        found.append(times[0] / times[1])
    found = found[2:]
    return {"median": statistics.median(found), "min": min(found), "max": max(found)}


def memory(steps: int) -> dict[str, float]:
    """Growth of the largest memory over the second half of many steps, in MiB."""
    spec = Spec(Image(1, 8))
    s, m = State.begin(*sizes.build("quick", spec, Normal(16), width=4)), Method(**METHOD)
    x = torch.rand(16, 1, 8, 8) * 2 - 1
    peaks = []
    for _ in range(2):
        for _ in range(steps // 2):
            step(m, s, x)
        gc.collect()
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return {"steps": steps, "MiB at half": peaks[0], "MiB at the end": peaks[1], "growth MiB": peaks[1] - peaks[0]}


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--rounds", type=int, default=15)
    p.add_argument("--steps", type=int, default=10_000, help="of the memory test")
    args = p.parse_args()
    torch.set_num_threads(args.threads)

    spec32, found = Spec(Image(3, 32)), {}
    x = (torch.rand(64, 3, 32, 32) * 2 - 1).contiguous(memory_format=torch.channels_last)
    a, b = ours(spec32, True), bare(*pair(spec32), bf16=True)
    found["step over bare loop"] = ratio(lambda: a(x), lambda: b(x), args.rounds)

    plain, default = bare(*pair(spec32, channels_last=False), bf16=False), ours(spec32, True)
    flat = x.contiguous()
    found["eager fp32 over default"] = ratio(lambda: plain(flat), lambda: default(x), args.rounds, each=2)

    faces = data.open(worlds.open("faces", size=64))
    stream = data.batches(faces.train, 64, seed=0)
    fetch = lambda: faces.spec.x.encode(next(stream)[0]).contiguous(memory_format=torch.channels_last)
    real = fetch()
    play = ours(faces.spec, True)
    found["data over step at 64x64"] = ratio(fetch, lambda: play(real), args.rounds, each=2)

    s, m = State.begin(*pair(spec32)), Method(**METHOD, bf16=True)
    z, tally = Normal(64).sample(64), Tally()

    def look() -> None:
        tally.row(m, s)
        probe(m, s, shown)

    def counted() -> None:
        tally.add(step(m, s, x), 0)

    examples = [((torch.rand(256, 3, 32, 32) * 2 - 1).contiguous(memory_format=torch.channels_last), None)] * 8
    shown = panel(z, examples, examples)
    x = x[:16].contiguous(memory_format=torch.channels_last)
    counted()
    tally.add({"D/loss": torch.ones(64)}, 0)
    seen = ratio(lambda: (tally.add({"D/loss": torch.ones(64)}, 0), look()), counted, args.rounds, each=2)
    every = 88_000 // 150 // 16  # steps between two looks of a run of eight minutes
    found["probes and log over training"] = {k: v / every for k, v in seen.items()} | {"every_steps": every}
    found["memory"] = memory(args.steps)

    document = {
        "proof": "speed",
        "command": f"python benchmarks/speed.py --threads {args.threads} --rounds {args.rounds}",
        "found": found,
    }
    record.write("speed", document)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
