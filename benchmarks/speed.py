"""What a step costs beside a bare loop and by SOAP, what bfloat16, kept memory and lazy penalties gain, what data,
probes and the log take: results/speed.json.

    python benchmarks/speed.py [--threads 2] [--rounds 15]

Every figure is a median of ratios of CPU times, taken in turns, so that a noisy machine disturbs both sides alike.
"""

import argparse
import gc
import json
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import record
import torch
from torch import nn
from torch.nn.functional import softplus

from sparring import data, machine, worlds
from sparring.nets import sizes
from sparring.penalties import r1, r2
from sparring.priors import Normal
from sparring.probes import panel, probe
from sparring.schedules import constant
from sparring.soap import SOAP
from sparring.spaces import Image, Spec
from sparring.tally import Tally
from sparring.train import Method, State, step

GAMMA = 0.2
LAZY = 8
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


def ours(spec: Spec, bf16: bool, optimizer: Any = torch.optim.Adam, lazy: int = 1) -> Callable[[torch.Tensor], None]:
    s, m = State.begin(*pair(spec, channels_last=bf16), optimizer), Method(**METHOD, bf16=bf16, lazy=lazy)
    return lambda x: step(m, s, x)


Spent = Callable[[int], float]  # times -> CPU seconds that it took
PLAYERS: dict[str, Callable[[Spec], Callable[[torch.Tensor], None]]] = {
    "eager": lambda spec: bare(*pair(spec, channels_last=False), bf16=False),
    "ours": lambda spec: ours(spec, True),
    "eager, the recipe of faces": lambda spec: ours(spec, False, SOAP, LAZY),
    "the recipe of faces": lambda spec: ours(spec, True, SOAP, LAZY),
}


def here(f: Callable[[], object]) -> Spent:
    def spent(n: int) -> float:
        began = time.process_time()
        for _ in range(n):
            f()
        return time.process_time() - began

    return spent


def there(player: str, kept: bool, threads: int) -> Spent:
    """The same in a process of its own, for how memory is kept cannot be taken back."""
    spawn = multiprocessing.get_context("spawn")
    mine, its = spawn.Pipe()
    spawn.Process(target=serve, args=(its, player, kept, threads), daemon=True).start()

    def spent(n: int) -> float:
        mine.send(n)
        return mine.recv()

    return spent


def serve(asked: Connection, player: str, kept: bool, threads: int) -> None:
    torch.set_num_threads(threads)
    if kept:
        machine.keep_freed_memory()
    x = torch.rand(32 if "recipe" in player else 64, 3, 32, 32) * 2 - 1
    x = x if "eager" in player else x.contiguous(memory_format=torch.channels_last)
    play = PLAYERS[player](Spec(Image(3, 32)))
    spent = here(lambda: play(x))
    with suppress(EOFError):  # nobody asks any more
        while True:
            asked.send(spent(asked.recv()))


def ratio(a: Spent, b: Spent, rounds: int, each: int = 4) -> dict[str, float]:
    """Median, lowest and highest of a's CPU time over b's."""
    found = [a(each) / b(each) for _ in range(rounds + 2)][2:]
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

    machine.keep_freed_memory()

    found: dict[str, Any] = {"memory": memory(args.steps)}  # first: its peak must be its own
    spec32 = Spec(Image(3, 32))
    eager, apart, given = (there(*who, args.threads) for who in (("eager", False), ("ours", True), ("ours", False)))
    found["eager fp32 over default"] = ratio(eager, apart, args.rounds, each=2)
    faces = there("eager, the recipe of faces", False, args.threads), there("the recipe of faces", True, args.threads)
    found["eager fp32 over default, by the recipe of faces"] = ratio(*faces, args.rounds, each=LAZY)
    found["freed memory given back over kept"] = ratio(given, apart, args.rounds)

    x = (torch.rand(64, 3, 32, 32) * 2 - 1).contiguous(memory_format=torch.channels_last)
    a, b = ours(spec32, True), bare(*pair(spec32), bf16=True)
    found["step over bare loop"] = ratio(here(lambda: a(x)), here(lambda: b(x)), args.rounds)

    half, soap = x[:32].contiguous(memory_format=torch.channels_last), ours(spec32, True, SOAP)
    found["soap over adam in batches of 32"] = ratio(
        here(lambda: soap(half)), here(lambda: a(half)), args.rounds, each=20
    )

    lazy = ours(spec32, True, SOAP, LAZY)
    found["r1 and r2 at each step over lazy ones, by soap"] = ratio(
        here(lambda: soap(half)), here(lambda: lazy(half)), args.rounds, each=2 * LAZY
    )

    large = data.open(worlds.open("faces", size=64))
    stream = data.batches(large.train, 64, seed=0)
    fetch = lambda: large.spec.x.encode(next(stream)[0]).contiguous(memory_format=torch.channels_last)
    real = fetch()
    play = ours(large.spec, True)
    found["data over step at 64x64"] = ratio(here(fetch), here(lambda: play(real)), args.rounds, each=2)

    s, m = State.begin(*pair(spec32), SOAP), Method(**METHOD, bf16=True, lazy=LAZY)
    z, tally = Normal(64).sample(64), Tally()
    examples = [((torch.rand(256, 3, 32, 32) * 2 - 1).contiguous(memory_format=torch.channels_last), None)] * 8
    shown = panel(z, examples, examples)

    def look() -> None:
        tally.add({"D/loss": torch.ones(32)}, 0)
        tally.row(m, s)
        probe(m, s, shown)

    def counted() -> None:
        tally.add(step(m, s, half), 0)

    counted()
    seen = ratio(here(look), here(counted), args.rounds, each=20)
    every = 150_000 // 150 // 32  # steps between two looks of a run of eight minutes
    found["probes and log over training"] = {k: v / every for k, v in seen.items()} | {"every_steps": every}

    document = {
        "proof": "speed",
        "command": f"python benchmarks/speed.py --threads {args.threads} --rounds {args.rounds}",
        "found": found,
    }
    record.write("speed", document)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
