"""English sentences by rule: verbs agree with their subjects, however much stands between, and clauses nest."""

from collections.abc import Sequence

from torch import Tensor

from .automaton import Strings
from .grammar import Rules, lengths, of_rules, spaced

DEPTH = 2  # clauses in clauses
SINGULAR, PLURAL = "singular", "plural"

NOUNS = (
    "dog cat bird girl boy teacher horse doctor king farmer queen child woman man friend painter fox singer sailor "
    "wolf baker rabbit poet prince bear pilot neighbour guest writer driver judge soldier stranger monk thief"
).split()
IRREGULAR = {"child": "children", "woman": "women", "man": "men", "fox": "foxes", "wolf": "wolves", "thief": "thieves"}
ALONE = "sleep laugh sing run wait dance smile dream swim arrive jump cry leave shout".split()  # verbs without object
ACTING = (  # and with one
    "see like hear know follow help love find chase call meet visit watch fear hate trust draw teach"
).split()
SAYING = "think say hope believe".split()
ADJECTIVES = (
    "small big young tall happy kind brave clever quiet tired lazy proud hungry gentle wise poor rich strong sad "
    "famous funny calm loud shy thin"
).split()
ADVERBS = "often loudly slowly quickly well again together here now there".split()
PLACES = "near behind beside with before without".split()
BEFORE_ONE, BEFORE_MANY = "a every this each".split(), "some these many two most".split()


def plural(noun: str) -> str:
    return IRREGULAR.get(noun, noun + "s")


def third(verb: str) -> str:
    """What one does, of what many do."""
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ies"
    return verb + ("es" if verb.endswith(("s", "sh", "ch", "x")) else "s")


def zipf(words: Sequence[str]) -> list[tuple[float, list[str]]]:
    """Words by falling frequency."""
    return [(1 / (rank + 3), [word]) for rank, word in enumerate(words)]


FORMS = {  # of each kind of word: for one, and for many
    "determiner": (BEFORE_ONE, BEFORE_MANY),
    "noun": (NOUNS, [plural(n) for n in NOUNS]),
    "alone": ([third(v) for v in ALONE], ALONE),
    "acting": ([third(v) for v in ACTING], ACTING),
    "saying": ([third(v) for v in SAYING], SAYING),
    "be": (["is"], ["are"]),
}
WORDS = ("", "the", "that", *(w for pair in FORMS.values() for form in pair for w in form))
WORDS += (*ADJECTIVES, *ADVERBS, *PLACES)


def rules(numbers: Sequence[str] = (SINGULAR, PLURAL)) -> Rules:
    """A clause `C` at each depth.  With one number alone, its words are those of both: agreement is not asked for.

    subject `S`, what may stand between subject and verb `B`, verb phrase `V`, relative clause `R`, object `O`, what
    may follow it `F`; `any` is a number not yet known: "the" goes with both.
    """
    g: dict[str, list] = {"adjective": zipf(ADJECTIVES), "adverb": zipf(ADVERBS), "place": zipf(PLACES)}
    for kind, (one, many) in FORMS.items():
        forms = {SINGULAR: one, PLURAL: many}
        for n in numbers:
            g[f"{kind} {n}"] = zipf(forms[n]) if len(numbers) == 2 else zipf([*one, *many])

    def noun_phrase(name: str, noun: str, after: str) -> None:
        """`name`: determiner, perhaps an adjective, noun, and what comes `after` it."""
        g[name] = [(0.4, ["the", f"{noun} any"]), *((0.6, [f"determiner {n}", f"{noun} {n}"]) for n in numbers)]
        for n in (*numbers, "any"):
            among = numbers if n == "any" else [n]
            bare = [(1 / len(among), [f"noun {m}", f"{after} {m}"]) for m in among]
            g[f"{noun} bare {n}"] = bare
            g[f"{noun} {n}"] = [(0.25, ["adjective", f"{noun} bare {n}"]), (0.75, [f"{noun} bare {n}"])]

    for d in range(DEPTH + 1):
        deeper = d < DEPTH
        noun_phrase(f"C{d}", f"S{d}", f"B{d}")
        noun_phrase(f"O{d}", f"N{d}", f"F{d}")
        noun_phrase(f"G{d}", f"P{d}", "acting")  # a clause whose object went before: "that the dog sees"
        for n in numbers:
            g[f"B{d} {n}"] = [(0.8, [f"V{d} {n}"])] + [(0.2, ["that", f"R{d + 1} {n}", f"V{d} {n}"])] * deeper
            g[f"R{d} {n}"] = [(0.65, [f"V{d} {n}"]), (0.35, [f"G{d}"])]
            g[f"F{d} {n}"] = [(0.85, [])] + [(0.15, ["that", f"R{d + 1} {n}"])] * deeper
            g[f"V{d} {n}"] = [
                (0.35, [f"alone {n}", f"manner{d}"]),
                (0.40, [f"acting {n}", f"O{d}"]),
                (0.15, [f"be {n}", "adjective"]),
            ] + [(0.10, [f"saying {n}", "that", f"C{d + 1}"])] * deeper
        g[f"manner{d}"] = [(0.5, []), (0.3, ["adverb"]), (0.2, ["place", f"O{d}"])]
    return g


def english(size: int | None = None) -> Strings:
    """Sentences of at most `size` words, 16 if left out."""
    length = lengths(size, 16, 3)
    free = of_rules(rules(("either",)), "C0", WORDS, length)

    def also(x: Tensor) -> dict[str, float]:
        """nesting: share that the rules allow if agreement in number is not asked for; agreement: valid among these.

        Words of one number in place of the other's leave the nesting right; so each is 1 of real sentences.
        """
        nested = free.logp(x).sum(1).isfinite()
        right = automaton.logp(x).sum(1).isfinite()
        share = float(right.sum() / nested.sum()) if nested.any() else 0.0
        return {"nesting": nested.double().mean().item(), "agreement": share}

    automaton = of_rules(rules(), "C0", WORDS, length)
    about = "English sentences whose verbs agree and whose clauses nest"
    return Strings("english", about, automaton, spaced(WORDS), (20_000, 4_000), also)
