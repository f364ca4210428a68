"""How a face is drawn: smooth shapes laid over one another, a batch at a time, at any size.

A face is a few attributes (integers) and some forty jitters in [0, 1]; every length is in units of the head, whose
middle is (0, 0) and whose chin is at (0, .63).
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, maximum, minimum

from sparring.worlds.faces_brush import Canvas, bump, ellipse, hued, mix, palette, wave

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

Span = Callable[[str, float, float], Tensor]  # (B, 1, 1): the jitter of that name, between two bounds


class Tones(NamedTuple):
    """The colours (B, 3) of each face."""

    hair: Tensor
    dark: Tensor
    light: Tensor
    line: Tensor
    skin: Tensor
    shade: Tensor
    iris: Tensor
    ground: Tensor
    accent: Tensor
    cloth: Tensor


def tones(a: dict[str, Tensor], j: dict[str, Tensor]) -> Tones:
    """The colours of faces of these attributes and jitters."""
    some = j["scale"]
    hair = palette(HAIR, some)[a["hair"]] + 24 * (
        torch.stack([j[f"hair_{c}"] for c in ("red", "green", "blue")], 1) - 0.5
    )
    skin = palette(SKIN, some)[a["skin"]] * (0.95 + 0.07 * j["skin_light"][:, None])
    skin = skin + (j["skin_warm"][:, None] - 0.5) * some.new_tensor([4.0, 0.0, -14.0])
    iris = palette(EYES, some)[a["eyes"]] * (0.9 + 0.2 * j["eye_light"][:, None])
    return Tones(
        hair=hair,
        dark=hair * 0.66 + some.new_tensor([2.0, 0.0, 14.0]),
        light=hair + (255 - hair) * (0.3 + 0.3 * j["shine"][:, None]),
        line=hair * 0.32 + some.new_tensor([12.0, 6.0, 18.0]),
        skin=skin,
        shade=skin * some.new_tensor([0.86, 0.74, 0.74]),
        iris=iris + 16 * (j["eye_hue"][:, None] - 0.5) * some.new_tensor([1.0, -1.0, 1.0]),
        ground=palette(BACKGROUND, some)[a["background"]] * (0.94 + 0.08 * j["back_light"][:, None]),
        accent=hued(j["accent_hue"], 0.94, 0.7),
        cloth=hued(j["cloth_hue"], 0.6 + 0.4 * j["cloth_light"], 0.45),
    )


def paint(attributes: dict[str, Tensor], jitter: Tensor, size: int, without: tuple[str, ...] = ()) -> Tensor:
    """Faces (B, 3, size, size), 0 to 255, of these attributes (B,) and jitters (B, len(JITTER)) in [0, 1].

    `without` leaves away "eyes" or "mouth", for a judge to know by.
    """
    order = attributes["style"].argsort(stable=True)  # each style is then one slice
    a = {name: value[order] for name, value in attributes.items()}
    j = dict(zip(JITTER, jitter[order].T))
    t = tones(a, j)

    def span(name: str, low: float, high: float) -> Tensor:
        return (low + (high - low) * j[name])[:, None, None]

    at = (torch.arange(size, device=jitter.device) * 2 + 1) / size - 1
    x, y = at[None, None, :] - span("right", -0.08, 0.08), at[None, :, None] - span("down", -0.06, 0.08)
    scale, tilt = span("scale", 0.92, 1.08), span("tilt", -0.16, 0.16)
    c, s = tilt.cos() / scale, tilt.sin() / scale
    u, v = c * x + s * y, c * y - s * x
    canvas = Canvas(u.new_empty(len(u), 3, size, size), u, v, u.abs(), scale * (size / 2))

    _ground(canvas, at, x, y, span, t)
    _hair_behind(canvas, a["style"], span, t)
    _body(canvas, t)
    d = _head(canvas, span, t)
    under, teeth = _fringe(canvas, span)
    canvas.lay(canvas.cover(maximum(under - 0.06, d)) * 0.8, t.shade)
    _cheeks(canvas, span, t)
    if "eyes" not in without:
        _eyes(canvas, span, t)
    if "mouth" not in without:
        _mouth(canvas, a["mouth"], span, t)
    _hair_before(canvas, a["style"], span, t, under, teeth)
    _brows(canvas, span, t)
    _adorn(canvas, a["accessory"], span, t)
    return canvas.picture.clamp_(0, 255)[order.argsort()]


def _ground(canvas: Canvas, at: Tensor, x: Tensor, y: Tensor, span: Span, t: Tones) -> None:
    """A slope of colour, and a pale disc around the head."""
    turn = span("back_turn", -0.8, 0.8)
    slope = (at[None, :, None] * turn.cos() + at[None, None, :] * turn.sin()) * span("back_slope", -0.35, 0.35) + 0.3
    canvas.picture.copy_(mix(t.ground, (t.ground * 0.35 + 160).clamp_max(255), slope))
    r = span("halo", 0.55, 1.05)
    canvas.lay(canvas.cover(ellipse(x, y, r, r)) * 0.35, t.ground * 0.2 + 204)


def _hair_behind(canvas: Canvas, style: Tensor, span: Span, t: Tones) -> None:
    """All hair that the head hides; the faces are in the order of their styles."""
    wide, length, turn = span("width", 0.62, 0.7), span("length", 0, 1), span("teeth_turn", 0, 1)

    def short(u, v, m, w, l, turn):
        spikes = wave(torch.atan2(u, -v - 0.05) * (1.6 + 0.35 * l) + turn)
        return ellipse(u, v + 0.06, w + 0.02, w + 0.04) - spikes * (0.07 + 0.07 * l)

    def bobbed(u, v, m, w, l, turn):
        return maximum(ellipse(u, v + 0.02, w + 0.06, 0.78 + 0.1 * l), v - 0.5 - 0.16 * l + 0.15 * m)

    def long(u, v, m, w, l, turn):
        curtain = m - w - (v * (9 + 2 * l)).sin() * 0.03 - 0.1 * v.clamp_min(0)
        return minimum(ellipse(u, v + 0.04, w, w + 0.02), maximum(curtain, -v))

    def tails(u, v, m, w, l, turn):
        return ellipse(m - 0.79 - 0.08 * v, v - 0.22 - 0.12 * l, 0.19 + 0.04 * l, 0.54)

    def buns(u, v, m, w, l, turn):
        return ellipse(m - 0.5, v + 0.56, 0.2 + 0.06 * l, 0.2 + 0.06 * l)

    def close(u, v, m, w, l, turn):
        return ellipse(u, v + 0.06, w - 0.02, w)

    end = 0
    for count, shapes in zip(
        style.bincount(minlength=5).tolist(), ((short,), (bobbed,), (long,), (tails, close), (buns, close))
    ):
        of, end = slice(end, end + count), end + count
        part = canvas.of(of)
        for shape in shapes if count else ():
            part.fill(shape(part.u, part.v, part.m, wide[of], length[of], turn[of]), t.dark[of], t.line[of], 0.035)
        if tails in shapes and count:
            part.lay(part.cover(ellipse(part.m - 0.66, part.v + 0.22, 0.1, 0.12)), t.accent[of])


def _body(canvas: Canvas, t: Tones) -> None:
    """Shoulders, a white collar, the neck."""
    low = canvas.within(0.6, 1)
    low.fill(ellipse(low.u, low.v - 1.3, 0.66, 0.56), t.cloth, t.cloth * 0.6, 0.04)
    low.lay(low.cover(ellipse(low.u, low.v - 0.74, 0.2, 0.17)), t.cloth * 0.3 + 178)
    low.lay(low.cover(maximum(low.m - 0.13, low.v - 0.78)), t.shade)


def _head(canvas: Canvas, span: Span, t: Tones) -> Tensor:
    """The face and its ears; gives the signed distance (B, H, W) to the face."""
    chin = span("chin", 0.6, 0.66)
    narrow = 1 + 0.36 * (canvas.v / chin).clamp(0, 1).square_()
    d = ellipse(canvas.u * narrow, canvas.v, 0.53, chin)
    ears = ellipse(canvas.m - 0.53, canvas.v - 0.15, 0.07, 0.1)
    canvas.lay(canvas.cover(minimum(d, ears)), mix(t.shade, t.skin, canvas.cover(d + 0.03)))
    return d


def _fringe(canvas: Canvas, span: Span) -> tuple[Tensor, Tensor]:
    """The signed distance (B, H, W) to what is above the fringe's edge, and the teeth of that edge in [0, 1]."""
    away = canvas.u - span("fringe_part", -0.25, 0.25)
    teeth = wave(canvas.u * span("teeth_count", 2.2, 3.4) + span("teeth_turn", 0, 1))
    edge = span("fringe_down", -0.2, -0.08) + span("fringe_arch", 0.3, 0.8) * away * away
    return (canvas.v - edge + teeth * span("teeth_long", 0.08, 0.2)) * 0.7, teeth


def _cheeks(canvas: Canvas, span: Span, t: Tones) -> None:
    """Blush, and a little nose."""
    strip = canvas.within(0.5, 0.86)
    rosy = t.skin * 0.55 + t.skin.new_tensor([110.0, 30.0, 45.0])
    strip.lay(bump(strip.m - 0.36, strip.v - 0.37, 0.12, 0.07) * span("blush", 0.1, 0.75), rosy)
    strip.lay(strip.cover(ellipse(strip.u, strip.v - 0.335, 0.02, 0.024)) * 0.8, t.shade)


def _eyes(canvas: Canvas, span: Span, t: Tones) -> None:
    """Both eyes at once: e is to the right of each eye's own middle, f below it."""
    strip, big = canvas.within(0.36, 0.86), span("eye_size", 0.98, 1.16)
    e = (strip.u - torch.copysign(span("eye_apart", 0.25, 0.28), strip.u)) / big
    f = (strip.v - 0.17) / big
    i, k = e - span("gaze_right", -0.035, 0.035), f - span("gaze_down", -0.025, 0.025) - 0.01

    white = strip.cover(ellipse(e, f, 0.165, 0.2))
    strip.lay(white, t.iris.new_tensor([[252.0, 250.0, 255.0]]))
    glow = mix(t.iris * 0.5, (t.iris * 1.12 + 14).clamp_max(255), (k * 4 + 0.55).clamp_(0, 1))
    strip.lay(strip.cover(ellipse(i, k, 0.13, 0.178)) * white, glow)
    strip.lay(strip.cover(ellipse(i, k + 0.015, 0.05, 0.085)) * white, t.iris * 0.16 + 6)
    gleam = minimum(ellipse(i + 0.045, k + 0.075, 0.05, 0.055), ellipse(i - 0.055, k - 0.09, 0.028, 0.03))
    strip.lay(strip.cover(gleam), t.iris.new_full((1, 3), 255.0))
    lash = maximum(ellipse(e, f + 0.01, 0.195, 0.22), -ellipse(e, f - 0.045, 0.185, 0.22))
    strip.lay(strip.cover(maximum(lash, f - 0.05)), t.line * 0.6)


def _mouth(canvas: Canvas, mouth: Tensor, span: Span, t: Tones) -> None:
    """A stroke bent up, straight or bent down; or an open mouth with its tongue."""
    part = canvas.within(0.5, 0.92)
    bent, down = span("mouth_bent", 0.85, 1.2), span("mouth_down", -0.015, 0.015)
    bend = t.skin.new_tensor([4.4, 0.0, 0.0, -4.4])[mouth][:, None, None] * bent
    half = span("mouth_wide", 0.12, 0.16) * (1 - 0.25 * (bend == 0))

    curve = part.v - 0.475 - down + bend * (part.m * part.m - 0.0075)
    stroke = maximum(curve.abs() - 0.026, part.m - half)
    part.lay(part.cover(stroke) * (mouth != 1)[:, None, None], t.shade * 0.35 + t.shade.new_tensor([42.0, 8.0, 16.0]))

    if len(opened := (mouth == 1).nonzero()[:, 0]):
        p = part.of(opened)
        f = p.v - 0.425 - down[opened]
        inside = p.cover(maximum(ellipse(p.u, f, half[opened] * 1.15, 0.14 * bent[opened]), -f))
        p.lay(inside, p.u.new_tensor([[150.0, 36.0, 52.0]]))
        p.lay(inside * p.cover(ellipse(p.u, f - 0.12, 0.09, 0.06)), p.u.new_tensor([[240.0, 120.0, 125.0]]))
        part.picture[opened] = p.picture


def _hair_before(canvas: Canvas, style: Tensor, span: Span, t: Tones, under: Tensor, teeth: Tensor) -> None:
    """The crown down to the fringe, and a lock at each side, with a band of light."""
    u, v, wide = canvas.u, canvas.v, span("width", 0.62, 0.7)
    reach = u.new_tensor([0.5, 0.95, 1.15, 0.9, 0.8])[style][:, None, None] * span("lock", 0.26, 0.4)
    d = maximum(ellipse(u, v + 0.07, wide - 0.02, wide - 0.01), under)
    d = minimum(d, ellipse(canvas.m - 0.55 - 0.05 * v, v - reach * 0.55, 0.075, reach + 0.12))

    tone = mix(t.hair, t.dark, (under * 2.2 + 0.75).clamp_(0, 1) * (1 - 0.6 * teeth))
    shine = 1 - ((v + 0.44 - 0.35 * u * u - 0.06 * teeth) / 0.075).square_()
    tone = tone.lerp_(t.light[:, :, None, None], shine.clamp_(0, 1)[:, None])
    tone = tone.lerp_(t.line[:, :, None, None], 1 - canvas.cover(d + 0.032)[:, None])
    canvas.lay(canvas.cover(d), tone)


def _brows(canvas: Canvas, span: Span, t: Tones) -> None:
    """Brows, seen through the hair."""
    strip = canvas.within(0.3, 0.66)
    e = strip.m - 0.25
    d = (strip.v + span("brow_down", 0.1, 0.16) + 1.6 * e * e + span("brow_turn", -0.35, 0.35) * e).abs_() - 0.018
    strip.lay(strip.cover(maximum(d, e.abs() - 0.11)) * 0.8, t.line)


def _adorn(canvas: Canvas, accessory: Tensor, span: Span, t: Tones) -> None:
    """Glasses, a ribbon, a flower or a beret; each is laid over a copy of its faces' strip."""
    sides, aparts = span("accent_side", -1, 1).sign(), span("eye_apart", 0.25, 0.28)

    def glasses(p, colour, side, apart):
        e, f = p.m - apart, p.v - 0.17
        d = ellipse(e, f, 0.225, 0.225)
        p.lay(p.cover(d) * 0.14, colour.new_full((1, 3), 255.0))
        bridge = maximum((f + 0.04).abs() - 0.02, e.abs() - 0.31)
        p.lay(p.cover(minimum(d.abs() - 0.024, maximum(bridge, -d))), colour * 0.25 + 24)

    def ribbon(p, colour, side, apart):
        u, v = p.u * side - 0.16 + 0.35 * p.v, p.v + 0.56
        p.fill(maximum(u.abs() - 0.27, v.abs() - 0.05 - 0.5 * u.abs()), colour, colour * 0.5, 0.04)
        p.fill(ellipse(u, v, 0.075, 0.09), colour * 0.5 + 128, colour * 0.45, 0.03)

    def flower(p, colour, side, apart):
        u, v = p.u * side - 0.42, p.v + 0.42
        r = (u * u + v * v).sqrt_()
        p.fill(r - 0.17 - 0.05 * (torch.atan2(v, u) * 5).cos(), colour * 0.45 + 140, colour * 0.55, 0.035)
        p.lay(p.cover(r - 0.075), colour.new_tensor([[255.0, 205.0, 60.0]]))

    def beret(p, colour, side, apart):
        u, v = p.u * side + 0.06, p.v + 0.56 + 0.15 * p.u * side
        d = minimum(ellipse(u, v, 0.62, 0.23), ellipse(u, v + 0.25, 0.05, 0.07))
        p.fill(d, colour * 0.85, colour * 0.45, 0.05)
        p.lay(bump(u, v + 0.08, 0.3, 0.06) * 0.5, colour * 0.4 + 150)

    for kind, adorn in enumerate((glasses, ribbon, flower, beret), start=1):
        if len(chosen := (accessory == kind).nonzero()[:, 0]):
            part = canvas.within(*((0.3, 0.84) if adorn is glasses else (0, 0.52)))
            piece = part.of(chosen)
            adorn(piece, t.accent[chosen], sides[chosen], aparts[chosen])
            part.picture[chosen] = piece.picture
