"""How pictures come to the size that a network takes: each rule against what defines it."""

import numpy as np
import pytest
import torch
from PIL import Image as Picture
from torch import nn

from sparring.extractors.contract import ExtractorError
from sparring.extractors.sized import RESIZES, Sized, clean, none, tf1


def some(n, *size):
    return torch.randint(256, (n, 3, *size), generator=torch.Generator().manual_seed(0)).float()


def by_pillow(x, side):
    """Each channel as floats, bicubic, clipped: how clean-fid is defined."""
    planes = [Picture.fromarray(plane.numpy()).resize((side, side), Picture.Resampling.BICUBIC) for plane in x]
    return torch.from_numpy(np.stack([np.asarray(p) for p in planes])).clamp(0, 255)


@pytest.mark.parametrize("size", [(32, 32), (299, 299), (500, 310)])
def test_clean_is_pillows_bicubic_on_floats(size):
    x = some(1, *size)
    torch.testing.assert_close(clean(x, 299)[0], by_pillow(x[0], 299), rtol=0, atol=0.01)


def by_formula(x, side):
    """TensorFlow 1: place i of the result lies at i n / side, between the pixels left and right of it."""
    h, w = x.shape[2:]
    y = torch.empty(*x.shape[:2], side, side)
    for i in range(side):
        for j in range(side):
            r, c = i * h / side, j * w / side
            r0, c0 = int(r), int(c)
            r1, c1, a, b = min(r0 + 1, h - 1), min(c0 + 1, w - 1), r - r0, c - c0
            top = x[:, :, r0, c0] * (1 - b) + x[:, :, r0, c1] * b
            y[:, :, i, j] = top * (1 - a) + (x[:, :, r1, c0] * (1 - b) + x[:, :, r1, c1] * b) * a
    return y


@pytest.mark.parametrize("size", [(7, 7), (21, 21), (64, 40)])
def test_tf1_is_its_formula(size):
    x = some(2, *size)
    torch.testing.assert_close(tf1(x, 21), by_formula(x, 21), rtol=1e-5, atol=1e-3)


def test_tf1_is_half_a_pixel_off_and_full_of_holes():
    ramp = torch.arange(64.0).expand(1, 1, 64, 64)
    assert tf1(ramp, 32)[0, 0, 0].tolist() == list(range(0, 64, 2))  # every second pixel, none of the others
    assert clean(ramp, 32)[0, 0, 0, 8:24].tolist() == pytest.approx([2 * i + 0.5 for i in range(8, 24)], abs=1e-3)


@pytest.mark.parametrize("rule", RESIZES)
def test_every_rule_keeps_a_constant_and_its_own_size(rule):
    assert torch.allclose(RESIZES[rule](torch.full((1, 3, 5, 9), 77.0), 31), torch.tensor(77.0))
    x = some(1, 31, 31)
    assert torch.allclose(RESIZES[rule](x, 31), x, atol=1e-4)


def test_none_is_the_picture():
    x = some(1, 5, 6)
    assert none(x, 299) is x


class Whole(nn.Module):
    name, side, channels, batch = "whole", 12, 3, 7

    def forward(self, x):
        return x.flatten(1)


@pytest.mark.parametrize("rule", RESIZES)
def test_an_extractor_behind_a_rule_is_named_after_both(rule):
    E = Sized(Whole(), rule)
    assert E.name == f"whole-{rule}"
    assert E.batch == 7
    x = some(2, 20, 20)
    torch.testing.assert_close(E(x / 127.5 - 1), (RESIZES[rule](x, 12) / 127.5 - 1).flatten(1), rtol=1e-4, atol=1e-5)


def test_made_pictures_become_bytes_as_real_ones_are():
    E, x = Sized(Whole(), "clean"), torch.rand(2, 3, 12, 12) * 2.4 - 1.2
    assert torch.equal(E(x), E((x.clamp(-1, 1) * 127.5 + 127.5).round() / 127.5 - 1))


def test_gray_is_three_equal_channels_and_nothing_else_is():
    E = Sized(Whole(), "none")
    assert torch.equal(E(torch.full((1, 1, 12, 12), 1.0)), torch.ones(1, 432))
    with pytest.raises(ExtractorError, match="whole-none takes 3 channels, and these have 4"):
        E(torch.zeros(1, 4, 12, 12))
    with pytest.raises(ExtractorError, match=r"looks at pictures \(B, C, H, W\), not at \(1, 2, 3, 12, 12\)"):
        E(torch.zeros(1, 2, 3, 12, 12))
