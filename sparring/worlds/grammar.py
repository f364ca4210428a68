"""Sums and products in brackets, by a grammar with known probabilities: small enough to know everything about it.

    expression -> term (operator term)*
    term       -> variable | ( expression )

Rules are written for any language: `of_rules` makes an automaton of them.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from math import inf
from typing import Any

from sparring.sequences import END

from .automaton import Automaton, Strings

Rules = Mapping[str, Sequence[tuple[float, Sequence[str]]]]  # symbol -> (weight, symbols and words); () is nothing

DEPTH = 3  # brackets in brackets
SHARES = (0.4, 0.3, 0.2, 0.1)  # of the four variables, and of the four operators
BRACKET, MORE = 0.35, 0.65  # how often a term is bracketed; how often another follows
WORDS = ("", "x", "y", "z", "w", "+", "*", "-", "/", "(", ")")


def of_rules(rules: Rules, start: str, words: Sequence[str], length: int) -> Automaton:
    """The automaton of a grammar that can be read from the left, one word at a time, without looking ahead.

    A place is the stack of what is still to come.  ValueError where a word could be read in two ways.
    """
    number = {word: i for i, word in enumerate(words)}

    def moves(stack: Any) -> Iterator[tuple[float, int, Hashable]]:
        if not stack:
            yield 1.0, END, ()
            return
        top, rest = stack[0], stack[1:]
        if top in number:
            yield 1.0, number[top], rest
            return
        total = sum(weight for weight, _ in rules[top])
        for weight, parts in rules[top]:
            for w, token, after in moves((*parts, *rest)):
                yield w * weight / total, token, after

    return Automaton((start,), moves, len(words), length)


def arithmetic() -> Rules:
    """An expression `E` and a term `T` at each depth; `M` is what may come after a term."""
    variables = tuple(zip(SHARES, ([v] for v in WORDS[1:5])))
    operators = tuple(zip(SHARES, ([o] for o in WORDS[5:9])))
    rules: dict[str, Sequence[tuple[float, Sequence[str]]]] = {"variable": variables, "operator": operators}
    for d in range(DEPTH + 1):
        inner = [(BRACKET, ["(", f"E{d + 1}", ")"])] if d < DEPTH else []
        rules[f"E{d}"] = [(1.0, [f"T{d}", f"M{d}"])]
        rules[f"T{d}"] = [(1 - BRACKET if inner else 1.0, ["variable"]), *inner]
        rules[f"M{d}"] = [(MORE, ["operator", f"T{d}", f"M{d}"]), (1 - MORE, [])]
    return rules


def grammar(size: int | None = None) -> Strings:
    """Expressions of at most `size` tokens, 16 if left out: 7.90 nats, 4,103,815,056 strings at 16."""
    about = "sums and products in brackets, by a grammar of known probabilities"
    return Strings("grammar", about, of_rules(arithmetic(), "E0", WORDS, lengths(size, 16, 2)), WORDS)


def spaced(words: Sequence[str]) -> tuple[str, ...]:
    """The spellings of words that are written with blanks between them."""
    return tuple(word and f" {word}" for word in words)


def lengths(size: int | None, usual: int, least: int, most: float = inf) -> int:
    """The length asked for, or the usual one."""
    if size is not None and not least <= size <= most:
        raise ValueError(f"strings of {size} tokens: give {least} or more{f', at most {most}' * (most < inf)}")
    return size or usual
