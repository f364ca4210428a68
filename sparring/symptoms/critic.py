"""What may be wrong with the critic: too strong, without bound, too weak, or sure only of what it knows by heart."""

from __future__ import annotations

from math import isfinite, nan

from .history import Finding, History, Window, holds, needs, windows


@needs("score/real", "score/fake")
def critic_unbounded(h: History, limit: float = 100.0) -> Finding | None:
    """The scores of real and fake part without end: nothing keeps D smooth.

    The gap is beyond `limit` and half as large again as when half the samples had been seen.
    """
    w = windows(h, "score/real", "score/fake")
    gaps = [Window(seen, (abs(real - fake),)) for seen, (real, fake) in w]
    since = holds(gaps, lambda gap: gap > limit)
    if since is None:
        return None

    last = gaps[-1].values[0]
    half = [g.values[0] for g in gaps if g.seen <= gaps[-1].seen / 2]
    if half and last < 1.5 * half[-1]:
        return None
    return Finding(
        "critic unbounded",
        since,
        f"the scores of real and fake lie {last:,.0f} apart, above {limit:g}, and part further",
        "add --r1 1 --r2 1, or raise them tenfold; a Wasserstein loss needs them, or --penalties wgan_gp=10",
    )


@needs("slope/real", "slope/fake")
def exploding_slope(h: History, ratio: float = 4.0, floor: float = 2.0) -> Finding | None:
    """D is steep where the fakes are and flat where the data is: what pushes G explodes.

    Huang et al. 2024 (R3GAN) saw this where r1 stood without r2; healthy slopes are about equal.
    """
    w = windows(h, "slope/real", "slope/fake")
    since = holds(w, lambda real, fake: fake > floor and fake > ratio * real, least=3)
    if since is None:
        return None
    real, fake = w[-1].values
    return Finding(
        "exploding slope",
        since,
        f"D's slope is {fake:.3g} at fakes and {real:.3g} at real examples, {fake / max(real, 1e-12):.0f} times less",
        "add --r2 with the weight of --r1, or raise it tenfold",
    )


@needs("accuracy/heldout|score/real|D/loss", "score/train|score/real|D/loss", "score/drawn|score/fake|D/loss")
def critic_wins(
    h: History, margin: float = 4.0, loss: float = 0.02, sure: float = 0.98, good: float = 0.7, share: float = 0.25
) -> Finding | None:
    """D tells real from fake by far: it has stopped learning, and G learns from a critic that is only right.

    Where D was asked of held-out examples: it puts `sure` of them above the fakes, for that `share` of the run, and the
    fakes cover less of the data than `good`: one that sees what is still wrong with fakes that are spread as the data
    are does its work.  Else the gap of the scores is above `margin`, or D's loss below `loss` and not below zero.  A
    loss that is linear in the scores, as Wasserstein's, falls as fast as the gap grows; there a wide gap alone is no
    sign.
    """
    scores = ("accuracy/heldout", "score/train", "score/drawn")
    asked = windows(h, *scores, "coverage") or [Window(at, (*values, nan)) for at, values in windows(h, *scores)]
    if asked:
        wins = lambda right, real, fake, coverage: right > sure and not coverage > good
        since = holds(asked, wins, least=max(4, round(share * len(asked))))
        if since is None:
            return None
        right, real, fake, _ = asked[-1].values
        said = f"D puts {right:.1%} of held-out examples above fakes; their scores lie {real - fake:.3g} apart"
    else:
        w = windows(h, "score/real", "score/fake", "D/loss")
        w = w or [Window(at, (*scores, nan)) for at, scores in windows(h, "score/real", "score/fake")]
        w = w or [Window(at, (nan, nan, d_loss)) for at, (d_loss,) in windows(h, "D/loss")]

        def apart(real: float, fake: float, d_loss: float) -> bool:
            gap = real - fake
            return (gap > margin and not d_loss < -gap / 2) or (not gap <= 0 and 0 <= d_loss < loss)

        since = holds(w, apart, least=2)
        if since is None:
            return None
        real, fake, d_loss = w[-1].values
        parts = [f"the scores of real and fake lie {real - fake:.3g} apart"] if isfinite(real) else []
        said = " and ".join(parts + ([f"D's loss is {d_loss:.3g}"] if isfinite(d_loss) else []))
    return Finding(
        "critic wins",
        since,
        said,
        "raise --r1 and --r2 tenfold, or lower --lr_D to a quarter; with few pictures --augment ada",
    )


@needs("accuracy/heldout", "coverage", "spread", "precision")
def critic_blind(
    h: History, guess: float = 0.65, wrong: float = 0.3, good: float = 0.4, swing: float = 0.3, share: float = 0.2
) -> Finding | None:
    """D cannot tell fakes from real examples, and anybody else can: it is too weak, or held too still, to teach.

    Fakes that are as good as real ones but few, or that run away from D, are no fault of its eyes.  A D that prefers
    fakes, right less often than `wrong`, is found sooner.
    """
    known = ("accuracy/heldout", "coverage", "spread", "precision")
    w = windows(h, *known, "swing") or [Window(at, (*values, 0.0)) for at, values in windows(h, *known)]

    poor = lambda coverage, spread, precision: precision < good and (coverage < good or not 0.5 < spread < 2)
    fooled = lambda below: lambda right, *fakes: right < below and fakes[-1] < swing and poor(*fakes[:-1])
    since = holds(w, fooled(guess), least=max(4, round(share * len(w))))
    since = holds(w, fooled(wrong), least=2) if since is None else since
    if since is None:
        return None
    right, coverage, spread, *_ = w[-1].values
    return Finding(
        "critic blind",
        since,
        f"D puts {right:.0%} of real examples above fakes, no better than guessing, while fakes cover {coverage:.0%} "
        f"of the data and have {spread:.0%} of its spread",
        "raise --lr_D to that of --lr, lower --r1 and --r2 tenfold, or give D more turns: --critic_steps 2",
    )


@needs("overfit/known", "accuracy/train", "accuracy/heldout")
def critic_overfits(h: History, known: float = 0.7, gap: float = 0.1) -> Finding | None:
    """D knows its training examples by heart: it puts them above held-out ones, which it takes for fakes."""
    w = windows(h, "overfit/known", "accuracy/train", "accuracy/heldout")
    since = holds(w, lambda by_heart, train, held: by_heart > known and train - held > gap, least=2)
    if since is None:
        return None
    by_heart, train, held = w[-1].values
    return Finding(
        "critic overfits",
        since,
        f"D puts a training example above a held-out one in {by_heart:.0%} of pairs (50 % if it knew none), and above "
        f"fakes {train:.0%} of training and {held:.0%} of held-out examples",
        "more examples; raise --r1 and --r2 tenfold; of pictures, --augment ada or --augment color,translation,cutout",
    )


@needs("D/bound", "slope/real", "slope/fake")
def clip_too_tight(h: History, slope: float = 0.01) -> Finding | None:
    """Weights clipped so near to zero that D is almost flat: nothing reaches G (Arjovsky et al. 2017)."""
    w = windows(h, "D/bound", "slope/real", "slope/fake")
    since = holds(w, lambda bound, real, fake: bound > 0.05 and max(real, fake) < slope, least=2)
    if since is None:
        return None
    bound, real, fake = w[-1].values
    return Finding(
        "clip too tight",
        since,
        f"{bound:.0%} of D's weights lie at the bound, and its slope is {max(real, fake):.2g}",
        "leave --clip out and give --penalties wgan_gp=10, or --r1 1 --r2 1; or ten times the --clip",
    )


@needs("D/bound", "slope/real", "slope/fake")
def clip_too_loose(h: History, bound: float = 0.02, slope: float = 20.0) -> Finding | None:
    """A bound that hardly any weight meets: D is as steep as without one, and slow to settle."""
    w = windows(h, "D/bound", "slope/real", "slope/fake")
    since = holds(w, lambda share, real, fake: share < bound and max(real, fake) > slope)
    if since is None:
        return None
    share, real, fake = w[-1].values
    return Finding(
        "clip too loose",
        since,
        f"{share:.1%} of D's weights lie at the bound, and its slope is {max(real, fake):,.0f}",
        "leave --clip out and give --penalties wgan_gp=10, or --r1 1 --r2 1; or --clip 0.01",
    )
