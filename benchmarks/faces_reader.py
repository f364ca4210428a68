"""Fits the eye that reads faces, on faces drawn afresh, and writes sparring/worlds/faces_reader.safetensors.

python benchmarks/faces_reader.py [MINUTES] [--on]     one thread; --on goes on from the file, with other faces

The committed file: 6 minutes, then 6 more with --on; 0.9 million faces in all.
"""

import sys
import time

import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import avg_pool2d, conv2d, cross_entropy

from sparring.worlds.faces import Faces
from sparring.worlds.faces_judge import TURNS, WEIGHTS, Eye
from sparring.worlds.faces_paint import JITTER, paint

BATCH = 128
WEIGHT = torch.ones(len(JITTER))
WEIGHT[:4] = 8  # right, down, tilt, scale: all else is drawn where they say


def worn(x: torch.Tensor) -> torch.Tensor:
    """Faces with a little blur and noise, as a generator would have them."""
    s = torch.rand(len(x), 1, 1, 1) * 0.5 * (torch.rand(len(x), 1, 1, 1) < 0.4) + 1e-3
    tap = (-(torch.arange(-1, 2).view(1, 1, 1, 3) ** 2) / (2 * s**2)).exp().repeat_interleave(3, 0)
    tap = tap / tap.sum(-1, keepdim=True)
    x = torch.nn.functional.pad(x, (1, 1, 1, 1), mode="replicate").view(1, -1, x.shape[2] + 2, x.shape[3] + 2)
    x = conv2d(conv2d(x, tap, groups=x.shape[1]), tap.mT, groups=x.shape[1]).view(len(s), 3, 32, 32)
    return (x + torch.rand(len(s), 1, 1, 1) * 10 * torch.randn_like(x)).clamp(0, 255)


def main(minutes: float, on: bool) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    eye, world = Eye().to(memory_format=torch.channels_last), Faces()
    if on:
        eye.load_state_dict({k: w.float() for k, w in load_file(WEIGHTS).items()})
    peak = 1.5e-3 if on else 3e-3
    mean = {k: w.detach().clone() for k, w in eye.named_parameters()}
    optimizer = torch.optim.AdamW(eye.parameters(), lr=3e-3, betas=(0.9, 0.98), weight_decay=1e-4)
    start, step, told = time.monotonic(), 0, 0.0

    while (done := (time.monotonic() - start) / (60 * minutes)) < 1:
        attributes, jitter = world.parameters(BATCH, seed=step + 10**6 * on)
        x = paint(attributes, jitter, 32) if step % 8 else avg_pool2d(paint(attributes, jitter, 64), 2)
        x = worn(x).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            scores, guess, turns = eye.scores(x)
        guess, turns = guess.float(), turns.float()
        angle = jitter[:, TURNS] * 2 * torch.pi
        named = torch.stack([cross_entropy(s.float(), a) for s, a in zip(scores, attributes.values())]).sum()
        placed = ((guess - jitter).square() * WEIGHT).mean() * 20
        turned = (turns - torch.stack([angle.cos(), angle.sin()], 1)).square().mean()

        for group in optimizer.param_groups:
            group["lr"] = peak * min(1, step / 100) * max(0.003, 1 - done)
        optimizer.zero_grad()
        (named + placed + turned).backward()
        optimizer.step()
        keep = min(0.998, step / (step + 10))
        with torch.no_grad():
            for k, w in eye.named_parameters():
                mean[k].lerp_(w, 1 - keep)

        step += 1
        if done - told > 0.05:
            told = done
            right = [f"{k} {(s.argmax(1) == a).float().mean():.2f}" for s, (k, a) in zip(scores, attributes.items())]
            off = (guess - jitter)[:, :4].square().mean(0).sqrt().tolist()
            print(
                f"{step:6} {named.item():.3f} {placed.item():.3f}",
                *right,
                *(f"{o:.3f}" for o in off),
                file=sys.stderr,
                flush=True,
            )
            save_file({k: w.half().contiguous() for k, w in mean.items()}, WEIGHTS)
    save_file({k: w.half().contiguous() for k, w in mean.items()}, WEIGHTS)


if __name__ == "__main__":
    numbers = [float(word) for word in sys.argv[1:] if word != "--on"]
    main(numbers[0] if numbers else 6, "--on" in sys.argv)
