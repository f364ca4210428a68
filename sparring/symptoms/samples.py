"""What may be wrong with the samples: too alike, too few kinds, copied, turned, or deaf to what was asked."""

from __future__ import annotations

from .history import Finding, History, holds, needs, windows


@needs("spread|duplicates")
def collapse(h: History, floor: float = 0.25, healthy: float = 0.5, same: float = 0.5) -> Finding | None:
    """Fakes differ far less from one another than real samples do.

    `spread` is below `floor` after it had been above `healthy`, or for long (a generator begins with hardly any); or
    more than half of the fakes are repeats of others.
    """
    w = windows(h, "spread")
    fell = any(spread > healthy for _, (spread,) in w)
    since = holds(w, lambda spread: spread < floor, least=2 if fell else 12)
    advice = "--loss relativistic with --r1 1 --r2 1, or half of --lr and of --lr_D; z of more dimensions: --z 64"
    if since is not None:
        said = f"fakes have {w[-1].values[0]:.0%} of the spread of the data" + (
            "" if fell else ", and never had half of it"
        )
        return Finding("collapse", since, said, advice)

    if windows(h, "condition/within"):  # then repeats may be of a condition that comes again: see `noise_ignored`
        return None
    w = windows(h, "duplicates")
    since = holds(w, lambda repeats: repeats > same, least=2)
    if since is None:
        return None
    return Finding("collapse", since, f"{w[-1].values[0]:.0%} of the fakes nearly repeat another", advice)


@needs("missing", "precision", "recall", "uneven")
def modes_missing(h: History, lost: float = 0.2, good: float = 0.4, share: float = 0.3) -> Finding | None:
    """What is drawn is good, but whole parts of the data are never drawn: hardly visible by eye."""
    w = windows(h, "missing", "precision", "recall", "uneven")
    few = lambda missing, precision, *_: missing > lost and precision > good
    since = holds(w, few, least=max(4, round(share * len(w))))
    if since is None:
        return None
    missing, precision, recall, uneven = w[-1].values
    return Finding(
        "modes missing",
        since,
        f"parts that hold {missing:.0%} of the data get less than a quarter of their due, {uneven:.0%} of all "
        f"samples are in the wrong part; precision {precision:.2f}, recall {recall:.2f}",
        "--loss relativistic with --r1 1 --r2 1; z of more dimensions: --z 64; a larger --batch",
    )


@needs("near", "copies")
def copying(h: History, near: float = 0.4, copied: float = 0.15) -> Finding | None:
    """Samples are copies of training examples, or of their mirror images."""
    w = windows(h, "near", "copies")
    since = holds(w, lambda ratio, copies: ratio < near and copies > copied, least=2)
    if since is None:
        return None
    ratio, copies = w[-1].values
    return Finding(
        "copying",
        since,
        f"{copies:.0%} of the samples are as close to one training example as 5 % of held-out ones are, and the "
        f"nearest example is a held-out one {ratio:.2f} times as often as by chance",
        "stop earlier (--stop plateau); more examples; fewer channels: half of --width; of pictures, --augment ada",
    )


@needs("leak")
def augmentation_leak(h: History, share: float = 0.5) -> Finding | None:
    """G draws what D sees through its augmentation: turned or discoloured samples, as no example is."""
    w = windows(h, "leak")
    since = holds(w, lambda leak: leak > share, least=3)
    if since is None:
        return None
    return Finding(
        "augmentation leak",
        since,
        f"fakes are as a mixture of clear examples and {w[-1].values[0]:.0%} that D sees transformed",
        "see that fakes pass through it too; a lower p: --augment ada:0.4, or --augment ada, which finds its own",
    )


@needs("condition/sample", "condition/score")
def condition_ignored(h: History, moved: float = 0.1, told: float = 0.05, right: float = 0.5) -> Finding | None:
    """Another condition changes neither what D thinks of an example, nor, it may be, what G draws.

    Where G is seen to draw what it is told, D may forget that there are other conditions: it never meets a wrong one.
    """
    keys = "condition/sample", "condition/score"
    w = windows(h, *keys, "condition/obeyed") or windows(h, *keys)
    deaf = lambda sample, score, obeyed=0.0: (score < told or sample < moved) and obeyed < right
    since = holds(w, deaf, least=4)
    if since is None:
        return None
    sample, score = w[-1].values[:2]
    return Finding(
        "condition ignored",
        since,
        f"another condition moves a sample by {sample:.1%} of what another z does, and costs a real example "
        f"{score:.2f} standard deviations of score",
        "--contrast 1, or --mismatch 1 beside --pack, so that D must look at the condition; where --auxiliary is on, "
        "more of it; see that D's forward uses c",
    )


@needs("condition/within", "spread")
def noise_ignored(h: History, moved: float = 0.1, spread: float = 0.25) -> Finding | None:
    """Samples of one condition are all but the same, though those of different ones are not: G makes nothing of z."""
    w = windows(h, "condition/within", "spread")
    since = holds(w, lambda within, all_in_all: within < moved and all_in_all > spread, least=4)
    if since is None:
        return None
    within, all_in_all = w[-1].values
    return Finding(
        "noise ignored",
        since,
        f"another z moves a sample of the same condition by {within:.1%} of how far real examples lie apart, while "
        f"samples of all conditions have {all_in_all:.0%} of the spread of the data",
        "a smaller weight of --terms l1, l2 or feature_matching, if there is one; --terms mode_seeking=0.01; "
        "--pack 2, so that D sees that samples repeat; z of more dimensions: --z 64",
    )


@needs("condition/futures")
def one_future(h: History, moved: float = 0.02) -> Finding | None:
    """Every z gives the same next frame, which is right only where the past decides it."""
    w = windows(h, "condition/futures")
    since = holds(w, lambda futures: futures < moved, least=4)
    if since is None:
        return None
    return Finding(
        "one future",
        since,
        f"another z moves the next frame by {w[-1].values[0]:.1%} of how far real ones are from the frame before",
        "none, if the past leaves no choice; else --terms energy=1:0.1, or mode_seeking=0.01",
        level="note",
    )
