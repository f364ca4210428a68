"""What can be said of a drawn face: the names of its attributes, and captions in varied words."""

from random import Random

from torch import Tensor

from sparring.chance import seed_of

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "style": ("short", "bobbed", "long", "twin-tailed", "double-bun"),
    "hair": ("black", "brown", "blond", "red", "blue", "green", "purple", "silver"),
    "eyes": ("brown", "blue", "green", "red", "purple", "golden"),
    "skin": ("fair", "peach", "tan", "dark"),
    "mouth": ("smile", "open", "neutral", "frown"),
    "accessory": ("none", "glasses", "ribbon", "flower", "beret"),
    "background": ("pink", "blue", "green", "yellow", "purple", "gray"),
}

STYLES = {
    "short": ("short {} hair", "short, spiky {} hair", "a {} pixie cut"),
    "bobbed": ("a {} bob", "bobbed {} hair", "{} hair in a bob"),
    "long": ("long {} hair", "long, flowing {} hair", "{} hair down past the shoulders"),
    "twin-tailed": ("{} twin tails", "{} hair in two tails", "{} hair in twin tails"),
    "double-bun": ("{} hair in two buns", "two {} buns", "{} hair in double buns"),
}
MOODS = {
    "smile": ("smiling", "cheerful", "gently smiling"),
    "open": ("laughing", "excited", "open-mouthed"),
    "neutral": ("calm", "serious", "quiet"),
    "frown": ("frowning", "sad", "sulking"),
}
WEARS = {
    "none": ("",),
    "glasses": ("wearing glasses", "with glasses", "in round glasses"),
    "ribbon": ("with a ribbon in her hair", "wearing a ribbon", "with a bow in her hair"),
    "flower": ("with a flower in her hair", "wearing a flower", "with a blossom in her hair"),
    "beret": ("wearing a beret", "in a beret", "with a beret on her head"),
}
FORMS = (
    "{a_mood} {girl} with {hair} and {eyes} eyes",
    "{a_mood} {girl} with {eyes} eyes and {hair}",
    "a picture of {a_mood}, {skin}-skinned {girl} with {hair}, {eyes} eyes",
    "{a_skin}-skinned {girl} with {hair} and {eyes} eyes, {mood}",
    "{girl} with {hair}, {eyes} eyes and {skin} skin, {mood}",
)


def _a(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def describe(attributes: dict[str, Tensor], seed: int) -> list[str]:
    """A caption for each face: true, though it need not tell all; its words are chosen by the seed and the place.

    Every caption tells hair, eyes, mouth and the accessory, if there is one; some tell the skin and the background.
    """
    captions = []
    for place, row in enumerate(zip(*(attributes[name].tolist() for name in ATTRIBUTES))):
        said = {name: values[index] for (name, values), index in zip(ATTRIBUTES.items(), row)}
        pick = Random(seed_of("faces", "words", seed, place)).choice
        hair = pick(STYLES[said["style"]]).format(said["hair"])
        mood, girl, wears = (
            pick(MOODS[said["mouth"]]),
            pick(("girl", "anime girl", "young woman")),
            pick(WEARS[said["accessory"]]),
        )
        caption = pick(FORMS).format(
            mood=mood,
            a_mood=_a(mood),
            a_skin=_a(said["skin"]),
            girl=girl,
            hair=hair,
            eyes=said["eyes"],
            skin=said["skin"],
        )
        behind = pick(("", "", f", {said['background']} background", f", before a {said['background']} wall"))
        captions.append(
            caption + (wears and pick((" ", ", ")) + wears if "mood" in caption else wears and f", {wears}") + behind
        )
    return captions
