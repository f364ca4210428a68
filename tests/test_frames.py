"""Laws of the measures of frames: closed forms, another library's SSIM, and what a supervised mean of futures gets."""

import pytest
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from sparring.metrics import frames
from sparring.metrics.frames import foreseen, moving_error, psnr, sharpness, ssim


def scenes(n, seed=0):
    """Before, and one step to the left or right by the toss of a coin: bytes (n, 1, 24, 24); and the mean of both."""
    g = torch.Generator().manual_seed(seed)
    y, x = torch.randint(4, 16, (2, n), generator=g)
    coin = torch.randint(2, (n,), generator=g) * 8 - 4

    def draw(x):
        frame = torch.zeros(n, 1, 24, 24)
        for i in range(n):
            frame[i, 0, y[i] : y[i] + 3, x[i] : x[i] + 3] = 200
        return frame.byte()

    left, right = draw(x - 4), draw(x + 4)
    return draw(x), draw(x + coin), draw(x - coin), ((left.float() + right.float()) / 2).byte()


def test_psnr_is_that_of_torchmetrics_frame_by_frame():
    x, y = torch.rand(6, 3, 16, 16), torch.rand(6, 3, 16, 16)
    theirs = [float(peak_signal_noise_ratio(b[None], a[None], data_range=1.0)) for a, b in zip(x, y)]
    assert psnr(x, y, peak=1.0).value == pytest.approx(sum(theirs) / 6, rel=1e-5)
    assert psnr(x, x, peak=1.0).value == pytest.approx(100)
    assert psnr(torch.zeros(2, 1, 4, 4).byte(), torch.full((2, 1, 4, 4), 255).byte()).value == pytest.approx(0)


@pytest.mark.parametrize("side", [24, 40])
def test_ssim_is_that_of_torchmetrics(side):
    x = torch.rand(3, 3, side, side)
    y = (x + 0.2 * torch.randn(3, 3, side, side)).clamp(0, 1)
    _, theirs = structural_similarity_index_measure(y, x, data_range=1.0, return_full_image=True)
    assert ssim(x, y, peak=1.0).value == pytest.approx(float(theirs[..., 5:-5, 5:-5].mean()), rel=1e-4)
    assert ssim(x, x, peak=1.0).value == pytest.approx(1)
    assert ssim(x[..., :5, :5], y[..., :5, :5], peak=1.0).value < 1  # smaller than the window


def test_frames_are_measured_by_parts_as_they_would_be_together(monkeypatch):
    g = torch.Generator().manual_seed(0)
    past = torch.randint(256, (7, 2, 3, 12, 12), generator=g, dtype=torch.uint8)
    x, y = (torch.randint(256, (7, 3, 12, 12), generator=g, dtype=torch.uint8) for _ in range(2))
    whole = foreseen(past, x, y)
    monkeypatch.setattr(frames, "TOGETHER", 2 * 3 * 12 * 12)
    assert foreseen(past, x, y) == whole and len(whole) == 4


def test_the_mean_of_futures_is_near_and_not_sharp():
    """What supervised learning makes of a coin: nearer than a guess that is wrong half the time, and half as sharp."""
    before, truth, other, mean = scenes(60)
    guess = torch.where(torch.arange(60)[:, None, None, None] % 2 == 0, truth, other)
    error = lambda m: float((truth.float() - m.float()).square().mean())
    assert error(mean) < error(guess)
    assert sharpness(before, truth, truth).value == pytest.approx(1)
    assert sharpness(before, truth, guess).value == pytest.approx(1, abs=0.05)
    assert sharpness(before, truth, mean).value == pytest.approx(0.5, abs=0.05)
    assert moving_error(before, truth, truth).value == 0
    assert moving_error(before, truth, before).value > moving_error(before, truth, guess).value > 0.05


def test_errors_are_the_spread_of_means():
    runs = []
    for i in range(40):
        _, truth, _, mean = scenes(25, i)
        noise = torch.randint(0, 40, truth.shape, generator=torch.Generator().manual_seed(i)).byte()
        runs.append([v for f in (psnr, ssim) for v in f(truth, (mean // 2 + noise))[:2]])
    t = torch.tensor(runs)
    for k in (0, 2):
        assert 0.6 < float(t[:, k].std() / t[:, k + 1].mean()) < 1.5


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: psnr(torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4)), "range of floats is not known"),
        (lambda: psnr(torch.zeros(2, 1, 4, 4).byte(), torch.zeros(2, 1, 4, 4)), "bytes 0 to 255 and floats"),
        (
            lambda: ssim(torch.zeros(2, 1, 4, 4).byte(), torch.zeros(2, 1, 4, 5).byte()),
            r"made has shape \(2, 1, 4, 5\)",
        ),
        (lambda: psnr(torch.zeros(1, 1, 4, 4).byte(), torch.zeros(1, 1, 4, 4).byte()), "1 frames are too few"),
        (lambda: sharpness(*[torch.zeros(2, 1, 4, 4).byte()] * 3), "nothing moves"),
        (lambda: psnr(torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4) / 0, peak=1.0), "made has NaN"),
    ],
)
def test_what_cannot_be_measured_is_refused(call, told):
    with pytest.raises(ValueError, match=told):
        call()
