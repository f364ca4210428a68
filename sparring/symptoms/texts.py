"""What may be wrong with a writer: it says one thing, stops at once or never, is too sure, or has a deaf teacher."""

from __future__ import annotations

from .history import Finding, History, holds, needs, windows


@needs("saturated", "accuracy/heldout")
def reward_saturation(h: History, share: float = 0.8) -> Finding | None:
    """D is so sure of every token that a better one earns no more than a worse: nothing reaches G."""
    w = windows(h, "saturated", "accuracy/heldout")
    since = holds(w, lambda saturated, right: saturated > share and right > 0.9, least=3)
    if since is None:
        return None
    saturated, right = w[-1].values
    return Finding(
        "reward saturation",
        since,
        f"{saturated:.0%} of the tokens written earn all or nothing (2 sigmoid(D) - 1 beyond .95), while D puts "
        f"{right:.0%} of real texts above written ones",
        "half of --lr_D, --forget 0.2, or --reward score",
    )


@needs("surprise/own", "surprise/heldout")
def entropy_collapse(h: History, share: float = 0.5, nats: float = 3.0) -> Finding | None:
    """G is sure of what it writes, and real texts surprise it: it knows little and says that alone.

    Of a perfect writer both are the entropy of the data.
    """
    w = windows(h, "surprise/own", "surprise/heldout")
    since = holds(w, lambda own, held: own < share * held and held - own > nats, least=3)
    if since is None:
        return None
    own, held = w[-1].values
    return Finding(
        "entropy collapse",
        since,
        f"G's own texts surprise it by {own:.3g} nats, held-out ones by {held:.3g}",
        "--entropy 0.02, half of --lr, or --discount 0.2 if it is higher",
    )


@needs("length")
def length_collapse(h: History, short: float = 0.6, long: float = 1.8, share: float = 0.2) -> Finding | None:
    """Texts end far too early, or hardly ever: where rewards from far ahead are below 0, it is best to end."""
    w = windows(h, "length")
    since = holds(w, lambda length: not short < length < long, least=max(4, round(share * len(w))))
    if since is None:
        return None
    (length,) = w[-1].values
    return Finding(
        "length collapse",
        since,
        f"texts have {length:.0%} of the length of real ones",
        "--discount 0.2 or less, --baseline step, or half of --lr",
    )


@needs("repeats", "stutter")
def repetition(h: History, more: float = 0.3, word: float = 0.25) -> Finding | None:
    """The same text again and again, or the same token: far more often than real texts do."""
    w = windows(h, "repeats", "stutter")
    since = holds(w, lambda texts, tokens: texts > more or tokens > word, least=4)
    if since is None:
        return None
    texts, tokens = w[-1].values
    return Finding(
        "repetition",
        since,
        f"beyond what real texts do, {max(texts, 0):.0%} of the texts are what another says word for word, and "
        f"{max(tokens, 0):.0%} of the tokens repeat the one before",
        "--discount 0.2 or less, --entropy 0.02, or half of --lr",
    )
