"""How a face is drawn: smooth shapes laid over one another, a batch at a time, at any size.

A face is a few attributes (integers) and some forty jitters in [0, 1]; every length is in units of the head, whose
middle is (0, 0) and whose chin is at (0, .63).
"""

from functools import lru_cache

import torch
from torch import Tensor

HAIR = (0x3A3444, 0x8A5630, 0xF5D468, 0xD8353A, 0x3F74DC, 0x46AD62, 0x9450C8, 0xDDE2F0)
EYES = (0x7A4420, 0x2F8CF0, 0x2FB45A, 0xE0304A, 0x9A4FE0, 0xF2B21E)
SKIN = (0xFFE6D8, 0xFAD2B4, 0xDFA477, 0xA06A48)
BACKGROUND = (0xFBB4CC, 0xA2D2FB, 0xAEE9BC, 0xFBE996, 0xCDB6F8, 0xC6C9D2)

JITTER = (
    *("right", "down", "tilt", "scale", "gaze_right", "gaze_down"),
    *("hair_red", "hair_green", "hair_blue", "eye_light", "eye_hue", "skin_light", "skin_warm"),
    *("back_light", "back_slope", "back_turn", "halo", "cloth_hue", "cloth_light", "accent_hue", "accent_side"),
    *("fringe_down", "fringe_part", "fringe_arch", "teeth_count", "teeth_turn", "teeth_long"),
    *("length", "width", "lock", "shine", "eye_size", "eye_apart", "brow_down", "brow_turn"),
    *("mouth_wide", "mouth_bent", "mouth_down", "blush", "chin"),
)


@lru_cache
def _palette(colours: tuple[int, ...], device: torch.device) -> Tensor:
    """Colours 0xRRGGBB as (K, 3), 0 to 255."""
    return torch.tensor([[c >> 16, c >> 8 & 255, c & 255] for c in colours], dtype=torch.float32, device=device)


def _hue(h: Tensor, light: Tensor, pale: float = 0.55) -> Tensor:
    """A colour (B, 3) from a hue in turns (B,) and its lightness in [0, 1]."""
    turn = (h[:, None] * 6 + h.new_tensor([0.0, 4.0, 2.0])) % 6
    return 255 * light[:, None] * (1 - (1 - pale) * (1 - ((turn - 3).abs() - 1).clamp(0, 1)))


class _Canvas:
    """Pictures (B, 3, H, W) under paint, with the coordinates (u right, v down) of each head."""

    def __init__(self, picture: Tensor, u: Tensor, v: Tensor, sharp: Tensor):
        self.picture, self.u, self.v, self.sharp = picture, u, v, sharp

    def of(self, rows: slice | Tensor) -> "_Canvas":
        """The canvas of some of the faces."""
        return _Canvas(self.picture[rows], self.u[rows], self.v[rows], self.sharp[rows])

    def within(self, top: float, bottom: float) -> "_Canvas":
        """The strip of the canvas between two heights, 0 to 1."""
        strip = slice(int(top * self.u.shape[1]), -int(-bottom * self.u.shape[1] // 1))
        return _Canvas(self.picture[:, :, strip], self.u[:, strip], self.v[:, strip], self.sharp)

    def cover(self, d: Tensor) -> Tensor:
        """How much of each pixel a shape of signed distance d covers."""
        return (d * self.sharp).neg_().add_(0.5).clamp_(0, 1)

    def lay(self, mask: Tensor, colour: Tensor) -> None:
        """Lay a colour (B, 3) or (B, 3, H, W) over the picture where the mask (B, H, W) is."""
        self.picture.lerp_(colour if colour.ndim == 4 else colour[:, :, None, None], mask[:, None])


def _ellipse(u: Tensor, v: Tensor, ru: Tensor | float, rv: Tensor | float) -> Tensor:
    """About the signed distance to an ellipse about the origin."""
    r = (ru * rv) ** 0.5
    return (torch.addcmul((u * (r / ru)).square_(), v * (r / rv), v * (r / rv))).sqrt_().sub_(r)


def _wave(t: Tensor) -> Tensor:
    """A triangle wave of period 1, from 0 up to 1 and back."""
    return (t - t.floor()).sub_(0.5).abs_().mul_(2)


def _mix(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """From colours a to b (B, 3) by t (B, H, W): (B, 3, H, W)."""
    return torch.lerp(a[:, :, None, None], b[:, :, None, None], t[:, None])


def paint(attributes: dict[str, Tensor], jitter: Tensor, size: int) -> Tensor:
    """Faces (B, 3, size, size), 0 to 255, of these attributes (B,) and jitters (B, len(JITTER)) in [0, 1]."""
    B, device = len(jitter), jitter.device
    order = attributes["style"].argsort(stable=True)  # each style is then one slice
    a = {k: value[order] for k, value in attributes.items()}
    j = dict(zip(JITTER, jitter[order].T))
    span = lambda name, low, high: (low + (high - low) * j[name])[:, None, None]

    hair = _palette(HAIR, device)[a["hair"]] + 24 * (
        torch.stack([j["hair_red"], j["hair_green"], j["hair_blue"]], 1) - 0.5
    )
    dark, light = (
        hair * 0.66 + hair.new_tensor([2.0, 0.0, 14.0]),
        hair + (255 - hair) * (0.3 + 0.3 * j["shine"][:, None]),
    )
    line = hair * 0.32 + hair.new_tensor([12.0, 6.0, 18.0])
    skin = _palette(SKIN, device)[a["skin"]] * (0.95 + 0.07 * j["skin_light"][:, None])
    skin = skin + (j["skin_warm"][:, None] - 0.5) * skin.new_tensor([4.0, 0.0, -14.0])
    shade = skin * skin.new_tensor([0.86, 0.74, 0.74])
    iris = _palette(EYES, device)[a["eyes"]] * (0.9 + 0.2 * j["eye_light"][:, None])
    iris = iris + 16 * (j["eye_hue"][:, None] - 0.5) * iris.new_tensor([1.0, -1.0, 1.0])
    accent, cloth = (
        _hue(j["accent_hue"], torch.full_like(j["halo"], 0.94), 0.3),
        _hue(j["cloth_hue"], 0.6 + 0.4 * j["cloth_light"]),
    )

    # where things are
    scale, tilt = span("scale", 0.92, 1.08), span("tilt", -0.16, 0.16)
    at = (torch.arange(size, device=device) * 2 + 1) / size - 1
    x, y = at[None, None, :] - span("right", -0.08, 0.08), at[None, :, None] - span("down", -0.06, 0.08)
    c, s = tilt.cos() / scale, tilt.sin() / scale
    u, v = c * x + s * y, c * y - s * x
    canvas = _Canvas(u.new_empty(B, 3, size, size), u, v, scale * (size / 2))
    m = u.abs()
    side = (j["accent_side"] > 0.5).float()[:, None, None] * 2 - 1

    # behind
    ground = _palette(BACKGROUND, device)[a["background"]] * (0.94 + 0.08 * j["back_light"][:, None])
    turn = span("back_turn", -0.8, 0.8)
    t = (at[None, :, None] * turn.cos() + at[None, None, :] * turn.sin()) * span("back_slope", -0.35, 0.35) + 0.3
    canvas.picture.copy_(_mix(ground, (ground * 0.35 + 160).clamp_max(255), t))
    canvas.lay(canvas.cover(_ellipse(x, y, r := span("halo", 0.55, 1.05), r)) * 0.35, ground * 0.2 + 204)

    # hair behind the head
    counts = torch.bincount(a["style"], minlength=5).tolist()
    ends = [sum(counts[: k + 1]) for k in range(5)]
    short, bob, long, tails, buns = (slice(e - n, e) for e, n in zip(ends, counts))
    wide, length = span("width", 0.62, 0.7), j["length"][:, None, None]

    def back(rows: slice, shape) -> None:
        if rows.stop > rows.start:
            part = canvas.of(rows)
            d = shape(part.u, part.v, m[rows], wide[rows], length[rows])
            part.lay(part.cover(d), _mix(line[rows], dark[rows], part.cover(d + 0.035)))

    def spiky(u, v, m, w, l):
        turn = torch.atan2(u, -v - 0.05) * (1.6 + 0.35 * l) + j["teeth_turn"][short, None, None]
        return _ellipse(u, v + 0.06, w + 0.02, w + 0.04) - _wave(turn) * (0.07 + 0.07 * l)

    back(short, spiky)
    back(
        bob,
        lambda u, v, m, w, l: torch.maximum(
            _ellipse(u, v + 0.02, w + 0.06, 0.78 + 0.1 * l), v - 0.5 - 0.16 * l + 0.15 * m
        ),
    )
    back(
        long,
        lambda u, v, m, w, l: torch.minimum(
            _ellipse(u, v + 0.04, w, w + 0.02),
            torch.maximum(m - w - (v * (9 + 2 * l)).sin() * 0.03 - 0.1 * v.clamp_min(0), -v),
        ),
    )
    back(tails, lambda u, v, m, w, l: _ellipse(m - 0.79 - 0.08 * v, v - 0.22 - 0.12 * l, 0.19 + 0.04 * l, 0.54))
    back(tails, lambda u, v, m, w, l: _ellipse(u, v + 0.06, w - 0.02, w))
    back(buns, lambda u, v, m, w, l: _ellipse(m - 0.5, v + 0.56, (r := 0.2 + 0.06 * l), r))
    back(buns, lambda u, v, m, w, l: _ellipse(u, v + 0.06, w - 0.02, w))
    if tails.stop > tails.start:
        part = canvas.of(tails)
        part.lay(part.cover(_ellipse(m[tails] - 0.66, part.v + 0.22, 0.1, 0.12)), accent[tails])

    # body
    low = canvas.within(0.6, 1)
    lm = low.u.abs()
    d = _ellipse(low.u, low.v - 1.3, 0.66, 0.56)
    low.lay(low.cover(d), _mix(cloth * 0.6, cloth, low.cover(d + 0.04)))
    low.lay(low.cover(_ellipse(low.u, low.v - 0.74, 0.2, 0.17)), cloth * 0.3 + 178)
    low.lay(low.cover(torch.maximum(lm - 0.13, low.v - 0.78)), shade)

    # head
    chin = span("chin", 0.6, 0.66)
    narrow = 1 + 0.36 * (v / chin).clamp(0, 1).square_()
    d = _ellipse(u * narrow, v, 0.53, chin)
    canvas.lay(
        canvas.cover(torch.minimum(d, _ellipse(m - 0.53, v - 0.15, 0.07, 0.1))),
        _mix(shade, skin, canvas.cover(d + 0.03)),
    )

    # the fringe's edge
    from_part = u - span("fringe_part", -0.25, 0.25)
    teeth = _wave(u * span("teeth_count", 2.2, 3.4) + span("teeth_turn", 0, 1))
    edge = span("fringe_down", -0.2, -0.08) + span("fringe_arch", 0.3, 0.8) * from_part * from_part
    edge = edge - teeth * span("teeth_long", 0.08, 0.2)
    under = (v - edge) * 0.7
    canvas.lay(canvas.cover(torch.maximum(under - 0.06, d)) * 0.8, shade)

    # eyes, both at once: e is right of each eye's own middle
    strip = canvas.within(0.36, 0.86)
    big, gu, gv = span("eye_size", 0.98, 1.16), span("gaze_right", -0.035, 0.035), span("gaze_down", -0.025, 0.025)
    apart = span("eye_apart", 0.25, 0.28)
    e, f = (strip.u - torch.copysign(apart, strip.u)) / big, (strip.v - 0.17) / big
    blush = strip.u.abs().sub_(0.36).div_(0.12).square_().add_(((strip.v - 0.37) / 0.07).square_())
    strip.lay((1 - blush).clamp_(0, 1) * span("blush", 0.1, 0.75), skin * 0.55 + skin.new_tensor([110.0, 30.0, 45.0]))
    white = strip.cover(_ellipse(e, f, 0.165, 0.2))
    strip.lay(white, skin.new_tensor([[252.0, 250.0, 255.0]]).expand(B, 3))
    i, k = e - gu, f - gv - 0.01
    strip.lay(
        strip.cover(_ellipse(i, k, 0.13, 0.178)) * white,
        _mix(iris * 0.5, (iris * 1.12 + 14).clamp_max(255), (k * 4 + 0.55).clamp_(0, 1)),
    )
    strip.lay(strip.cover(_ellipse(i, k + 0.015, 0.05, 0.085)) * white, iris * 0.16 + 6)
    gleam = torch.minimum(_ellipse(i + 0.045, k + 0.075, 0.05, 0.055), _ellipse(i - 0.055, k - 0.09, 0.028, 0.03))
    strip.lay(strip.cover(gleam), skin.new_full((B, 3), 255.0))
    lash = torch.maximum(_ellipse(e, f + 0.01, 0.195, 0.22), -_ellipse(e, f - 0.045, 0.185, 0.22))
    strip.lay(strip.cover(torch.maximum(lash, f - 0.05)), line * 0.6)

    # nose and mouth
    part = canvas.within(0.5, 0.92)
    pm, pv = part.u.abs(), part.v
    part.lay(part.cover(_ellipse(part.u, pv - 0.335, 0.02, 0.024)) * 0.8, shade)
    bend = u.new_tensor([4.4, 0.0, 0.0, -4.4])[a["mouth"]][:, None, None] * span("mouth_bent", 0.85, 1.2)
    half = span("mouth_wide", 0.12, 0.16) * (1 - 0.25 * (bend == 0))
    curve = pv - 0.475 - span("mouth_down", -0.015, 0.015) + bend * (pm * pm - 0.0075)
    stroke = torch.maximum(curve.abs() - 0.026, pm - half)
    lips = shade * 0.35 + shade.new_tensor([42.0, 8.0, 16.0])
    shut = (a["mouth"] != 1)[:, None, None]
    part.lay(part.cover(stroke) * shut, lips)
    if (wide_open := (a["mouth"] == 1).nonzero()[:, 0]).numel():
        p = part.of(wide_open)
        w, q = half[wide_open] * 1.15, p.v - 0.425 - span("mouth_down", -0.015, 0.015)[wide_open]
        d = torch.maximum(_ellipse(p.u, q, w, 0.14 * span("mouth_bent", 0.85, 1.2)[wide_open]), -q)
        inside = p.cover(d)
        p.lay(inside, p.picture.new_tensor([[150.0, 36.0, 52.0]]).expand(len(w), 3))
        p.lay(
            inside * p.cover(_ellipse(p.u, q - 0.12, 0.09, 0.06)),
            p.picture.new_tensor([[240.0, 120.0, 125.0]]).expand(len(w), 3),
        )
        part.picture[wide_open] = p.picture

    # hair before the head
    d = torch.maximum(_ellipse(u, v + 0.07, wide - 0.02, wide - 0.01), under)
    lock = span("lock", 0.26, 0.4)
    reach = torch.tensor([0.5, 0.95, 1.15, 0.9, 0.8], device=device)[a["style"]][:, None, None] * lock
    d = torch.minimum(d, _ellipse(m - 0.55 - 0.05 * v, v - reach * 0.55, 0.075, reach + 0.12))
    shine = 1 - ((v + 0.44 - 0.35 * u * u - 0.06 * teeth) / 0.075).square_()
    tone = _mix(hair, dark, (under * 2.2 + 0.75).clamp_(0, 1) * (0.4 + 0.6 * (1 - teeth)))
    tone = tone.lerp_(light[:, :, None, None], shine.clamp_(0, 1)[:, None])
    tone = tone.lerp_(line[:, :, None, None], 1 - canvas.cover(d + 0.032)[:, None])
    canvas.lay(canvas.cover(d), tone)

    # brows are seen through the hair
    strip = canvas.within(0.3, 0.66)
    e = strip.u.abs() - 0.25
    d = (strip.v + span("brow_down", 0.1, 0.16) + 1.6 * e * e + span("brow_turn", -0.35, 0.35) * e).abs_() - 0.018
    strip.lay(strip.cover(torch.maximum(d, e.abs() - 0.11)) * 0.8, line)

    _adorn(canvas, a["accessory"], accent, side, apart)
    return canvas.picture.clamp_(0, 255)[order.argsort()]


def _adorn(canvas: _Canvas, accessory: Tensor, accent: Tensor, side: Tensor, apart: Tensor) -> None:
    """Lay each face's accessory over it."""

    def glasses(p, colour, side, apart):
        e = p.u.abs() - apart
        d = _ellipse(e, p.v - 0.17, 0.225, 0.225)
        p.lay(p.cover(d) * 0.14, colour.new_full(colour.shape, 255.0))
        bridge = torch.maximum((p.v - 0.13).abs() - 0.02, e.abs() - 0.31)
        frame = torch.minimum(d.abs() - 0.024, torch.maximum(bridge, -d))
        p.lay(p.cover(frame), colour * 0.25 + 24)

    def ribbon(p, colour, side, apart):
        u, v = p.u * side - 0.36 + 0.35 * p.v + 0.2, p.v + 0.56
        m = u.abs()
        d = torch.maximum(m - 0.27, v.abs() - 0.05 - 0.5 * m)
        p.lay(p.cover(d), _mix(colour * 0.5, colour, p.cover(d + 0.04)))
        d = _ellipse(u, v, 0.075, 0.09)
        p.lay(p.cover(d), _mix(colour * 0.45, colour * 0.5 + 128, p.cover(d + 0.03)))

    def flower(p, colour, side, apart):
        u, v = p.u * side - 0.42, p.v + 0.42
        r, turn = (u * u + v * v).sqrt_(), torch.atan2(v, u)
        d = r - 0.17 - 0.05 * (turn * 5).cos()
        p.lay(p.cover(d), _mix(colour * 0.55, colour * 0.45 + 140, p.cover(d + 0.035)))
        p.lay(p.cover(r - 0.075), colour.new_tensor([[255.0, 205.0, 60.0]]).expand(len(r), 3))

    def beret(p, colour, side, apart):
        u, v = p.u * side + 0.06, p.v + 0.56 + 0.15 * p.u * side
        d = torch.minimum(_ellipse(u, v, 0.62, 0.23), _ellipse(u, v + 0.25, 0.05, 0.07))
        p.lay(p.cover(d), _mix(colour * 0.45, colour * 0.85, p.cover(d + 0.05)))
        p.lay((1 - ((v + 0.08) / 0.06).square() - (u / 0.3).square()).clamp_(0, 1) * 0.5, colour * 0.4 + 150)

    for kind, adorn in enumerate((glasses, ribbon, flower, beret), start=1):
        if (chosen := (accessory == kind).nonzero()[:, 0]).numel():
            part = canvas.within(*((0.3, 0.84) if kind == 1 else (0, 0.52)))
            piece = part.of(chosen)
            adorn(piece, accent[chosen], side[chosen], apart[chosen])
            part.picture[chosen] = piece.picture
