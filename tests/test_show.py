"""Pictures of samples: the geometry is exact, the bytes are the samples', and a file appears whole or not at all."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image as Picture

from sparring.show import animate, lines, plane, scatter, sheet, show, strip, tidy
from sparring.spaces import Frames, Image, Label, Tokens, Vector


def noise(*shape: int) -> torch.Tensor:
    return torch.randint(256, shape, dtype=torch.uint8)


@settings(deadline=None, max_examples=25)
@given(some.integers(1, 20), some.sampled_from([1, 3]), some.integers(2, 9), some.integers(1, 4), some.integers(0, 5))
def test_every_pixel_of_a_sheet_is_where_it_should_be(n, channels, size, scale, gap):
    x, columns = noise(n, channels, size, size), tidy(n)
    page = np.asarray(sheet(x, scale=scale, gap=gap))
    rows, pitch = -(-n // columns), size * scale + gap
    assert page.shape == (rows * pitch + gap, columns * pitch + gap, 3)

    seen = np.zeros(page.shape[:2], dtype=bool)
    for i in range(n):
        top, left = i // columns * pitch + gap, i % columns * pitch + gap
        tile = page[top : top + size * scale, left : left + size * scale]
        seen[top : top + size * scale, left : left + size * scale] = True
        expected = np.kron(x[i].expand(3, -1, -1).permute(1, 2, 0).numpy(), np.ones((scale, scale, 1), dtype=np.uint8))
        assert (tile == expected).all()
    assert (page[~seen] == 255).all()


@pytest.mark.parametrize("n", [1, 2, 3, 7, 12, 13, 60, 64, 100])
def test_a_grid_is_tidy(n):
    columns = tidy(n)
    rows = -(-n // columns)
    assert rows <= columns <= 2 * rows
    assert rows * columns - n < columns


@pytest.mark.parametrize(("n", "size"), [(64, 28), (64, 32), (64, 64), (36, 128), (100, 8)])
def test_a_sheet_is_comfortable_to_see(n, size):
    assert 650 <= sheet(noise(n, 3, size, size)).width <= 1060


def test_opacity_is_over_white_and_floats_are_refused():
    clear = torch.zeros(1, 4, 2, 2, dtype=torch.uint8)
    assert np.asarray(sheet(clear, scale=1, gap=0)).min() == 255
    assert sheet(noise(2, 2, 3, 3)).mode == "RGB"
    with pytest.raises(TypeError, match="decode"):
        sheet(torch.zeros(1, 3, 2, 2))


def test_clips_at_rest_run_to_the_right():
    x = noise(2, 5, 3, 4, 4)
    page = np.asarray(strip(x, scale=1, gap=1))
    assert page.shape == (2 * 5 + 1, 5 * 5 + 1, 3)
    assert (page[6:10, 16:20] == x[1, 3].permute(1, 2, 0).numpy()).all()


def test_points_are_blue_over_gray_where_they_are():
    page = np.asarray(
        scatter(torch.tensor([[1.0, 1.0]]), real=torch.tensor([[-1.0, -1.0], [1.0, 1.0]]), size=400)
    ).astype(int)
    margin = (1 - 1 / 1.15) / 2 * 400
    high, low = round(margin), round(400 - margin)
    r, g, b = page[high, low]
    assert b - r > 60, "the sample is at the upper right"
    r, g, b = page[low, high]
    assert max(r, g, b) - min(r, g, b) < 30
    assert r < 230, "the real point is gray, at the lower left"
    assert page[200, 200].min() > 225


@pytest.mark.parametrize(
    "x", [torch.zeros(0, 2), torch.zeros(5, 2), torch.full((3, 2), torch.nan), torch.tensor([[1e30, 0], [0, 1e30]])]
)
def test_odd_points_are_survived(x):
    assert scatter(x, real=torch.randn(9, 2), size=100).size == (100, 100)
    assert scatter(x, size=100).size == (100, 100)


def test_many_dimensions_are_seen_along_the_widest():
    x = torch.randn(500, 6) * torch.tensor([0.1, 9, 0.1, 0.1, 4, 0.1])
    flat, real = plane(x, x)
    assert real is not None
    assert torch.allclose(flat, real)
    assert flat.std(0)[0] > 8
    assert 3 < flat.std(0)[1] < 5
    one, _ = plane(torch.tensor([[3.0], [1.0], [2.0]]))
    assert one.tolist() == [[1, 0], [2, 0.5], [3, 1]]


def test_one_point_of_many_dimensions_has_a_place():
    assert plane(torch.tensor([[3.0, 1.0, 2.0]]))[0].tolist() == [[3.0, 1.0]]


def test_words():
    """A line each, up to the end; blanks belong to the spellings."""
    x = torch.tensor([[1, 2, 0, 1], [2, 2, 9, 1]])
    assert lines(x) == "1 2\n2 2 9 1"
    assert lines(x, ["", "b", "c"]) == "bc\ncc\N{REPLACEMENT CHARACTER}b"
    assert lines(x, ["", " red", " eyes"]).splitlines()[0] == "red eyes"
    assert len(lines(torch.tensor([[2, 1], [1, 0]]), ["", "\n", "a"]).splitlines()) == 2


@pytest.mark.parametrize(
    ("space", "x", "suffix"),
    [
        (Image(3, 8), noise(4, 3, 8, 8), ".png"),
        (Vector(2), torch.randn(50, 2), ".png"),
        (Vector(7), torch.randn(50, 7), ".png"),
        (Frames(3, 1, 8), noise(4, 3, 1, 8, 8), ".webp"),
        (Tokens(5, 9), torch.randint(9, (4, 5)), ".txt"),
    ],
)
def test_every_space_is_shown_in_one_whole_file(tmp_path, space, x, suffix):
    path = show(space, x, tmp_path / "samples" / "00001234", real=x)
    assert path == tmp_path / "samples" / f"00001234{suffix}"
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    if suffix != ".txt":
        with Picture.open(path) as picture:
            picture.load()
            assert getattr(picture, "n_frames", 1) == (3 if suffix == ".webp" else 1)


def test_what_cannot_be_shown_is_refused(tmp_path):
    with pytest.raises(TypeError, match="Label"):
        show(Label(3), torch.zeros(3), tmp_path / "x")
    with pytest.raises(ValueError, match="no sheets"):
        animate([], tmp_path / "x.webp")
    assert not list(tmp_path.iterdir())


def test_an_animation_has_a_frame_a_sheet(tmp_path):
    sheets = [show(Image(3, 8), noise(4, 3, 8, 8), tmp_path / f"{i}") for i in range(4)]
    sheet(noise(1, 3, 8, 8), scale=1).save(sheets[0])  # another size than the rest
    out = animate(sheets, tmp_path / "run.webp")
    with Picture.open(out) as film, Picture.open(sheets[-1]) as last:
        assert (film.n_frames, film.size) == (4, last.size)
