"""Captions of drawn faces, as people write them: any order, synonyms, only some of the attributes, English or Chinese;
and the reading of such captions, which knows exactly what they say.
"""

import re
from collections.abc import Iterable, Sequence
from random import Random

from torch import Tensor

from sparring.chance import seed_of
from sparring.worlds.faces_words import ATTRIBUTES, MOODS, STYLES, WEARS

MENTIONED = {"style": 0.6, "hair": 0.85, "eyes": 0.85, "skin": 0.3, "mouth": 0.6, "accessory": 0.7, "background": 0.3}
LEAST = 2  # attributes that a caption mentions

# Combinations that are never trained on, each colour of hair with one of eyes: black with brown, brown with blue, …
UNSEEN = {(hair, hair % len(ATTRIBUTES["eyes"])) for hair in range(len(ATTRIBUTES["hair"]))}

COLOURS = {"blond": ("blond", "blonde"), "purple": ("purple", "violet"), "golden": ("golden", "amber")}
TONES = {"fair": ("fair", "pale"), "tan": ("tan", "tanned")}
GIRLS = ("a girl", "a young woman", "an anime girl", "a character", "someone")
NOTHING = ("without accessories", "without any accessory", "no accessories")

_HAIR = "黑棕金红蓝绿紫银"  # in the order of ATTRIBUTES, as are the others
_EYES = "棕蓝绿红紫金"
_GROUND = "粉蓝绿黄紫灰"
_STYLES = (("{}短发", "短短的{}头发"), ("{}波波头",), ("{}长发", "长长的{}头发"), ("{}双马尾",), ("{}丸子头",))
_SKINS = (("白皙的皮肤", "皮肤白皙"), ("桃色的皮肤",), ("小麦色的皮肤",), ("深色的皮肤", "皮肤黝黑"))
_MOODS = (("微笑着", "面带微笑"), ("大笑着", "兴奋地张着嘴"), ("表情平静", "神情严肃"), ("皱着眉", "看起来很难过"))
_WEARS = (("没有饰品",), ("戴着眼镜",), ("戴着蝴蝶结", "头上有丝带"), ("头上戴着花", "戴着一朵花"), ("戴着贝雷帽",))
_GIRLS = ("女孩", "少女", "动漫女孩", "姑娘")

Said = dict[str, int]  # of an attribute, the index of its value


def tell(attributes: dict[str, Tensor], seed: int, english: int = 3, chinese: int = 1) -> list[list[str]]:
    """So many captions of each face, each true; which attributes it mentions, in which words, is by seed and place."""
    told = []
    for place, row in enumerate(zip(*(attributes[name].tolist() for name in ATTRIBUTES))):
        face, chance = dict(zip(ATTRIBUTES, row)), Random(seed_of("faces", "told", seed, place))
        told.append(
            [in_english(_some(face, chance), chance) for _ in range(english)]
            + [in_chinese(_some(face, chance), chance) for _ in range(chinese)]
        )
    return told


def _some(face: Said, chance: Random) -> Said:
    """What a caption mentions of a face; that there is no accessory is said seldom."""
    said: Said = {}
    while len(said) < LEAST:
        said = {k: v for k, v in face.items() if chance.random() < MENTIONED[k]}
        if face["accessory"] == 0 and chance.random() < 0.8:
            said.pop("accessory", None)
    return said


def in_english(said: Said, chance: Random) -> str:
    """A sentence, or a list of what is seen."""
    pick, name = chance.choice, {k: ATTRIBUTES[k][v] for k, v in said.items()}
    colour = lambda k: pick(COLOURS.get(name[k], (name[k],)))
    features = []
    if "style" in name or "hair" in name:
        style = pick(STYLES[name["style"]]) if "style" in name else "{} hair"
        features.append(" ".join(style.format(colour("hair") if "hair" in name else "").split()))
    if "eyes" in name:
        features.append(f"{colour('eyes')} eyes")
    skin = pick(TONES.get(name["skin"], (name["skin"],))) if "skin" in name else ""
    mood = pick(MOODS[name["mouth"]]) if "mouth" in name else ""
    wears = pick(NOTHING if name["accessory"] == "none" else WEARS[name["accessory"]]) if "accessory" in name else ""
    behind = f"{pick(('before a {} wall', '{} background', 'on a {} background'))}" if "background" in name else ""
    behind = behind.format(name.get("background"))
    chance.shuffle(features)

    if chance.random() < 0.35:
        tags = [*features, f"{skin} skin" if skin else "", mood, wears, behind]
        chance.shuffle(tags)
        return ", ".join(filter(None, tags))

    girl, after = pick(GIRLS), []
    early = [w for w in (mood, f"{skin}-skinned" if skin else "") if w and chance.random() < 0.5]
    if early and girl != "someone":
        noun = girl.split(" ", 1)[1]
        girl = f"{'an' if early[0][0] in 'aeiou' else 'a'} {', '.join(early)} {noun}"
    elif early:
        girl, after = f"{girl} {early[0]}" if early[0] == mood else girl, early if early[0] != mood else early[1:]
    if skin and f"{skin}-skinned" not in early:
        features.append(f"{skin} skin")
    whole = girl + (" with " + _and(features) if features else "")
    after += [w for w in (mood if mood not in early else "", wears, behind) if w]
    chance.shuffle(after)
    return ", ".join([whole, *after])


def _and(parts: list[str]) -> str:
    return ", ".join(parts[:-1]) + " and " + parts[-1] if parts[1:] else parts[0]


def in_chinese(said: Said, chance: Random) -> str:
    """The same in Chinese."""
    pick = chance.choice
    colour = lambda signs, k: signs[said[k]] + pick(("色", "色的"))
    parts = []
    if "style" in said or "hair" in said:
        style = pick(_STYLES[said["style"]]) if "style" in said else "{}头发"
        parts.append(style.format(colour(_HAIR, "hair") if "hair" in said else ""))
    if "eyes" in said:
        parts.append(f"{colour(_EYES, 'eyes')}{pick(('眼睛', '眼眸'))}")
    parts += [
        pick(table[said[k]]) for k, table in (("skin", _SKINS), ("mouth", _MOODS), ("accessory", _WEARS)) if k in said
    ]
    if "background" in said:
        parts.append(f"{colour(_GROUND, 'background')}背景")
    chance.shuffle(parts)
    return pick(("", f"一个{pick(_GIRLS)}，", f"{pick(_GIRLS)}，")) + "，".join(parts)


# -- reading ----------------------------------------------------------------------------------------------------------

_words = lambda table: {word: value for value, some in table.items() for word in some}
_any = lambda names: "|".join(sorted(names, key=len, reverse=True))
_SHADE = {k: k for k in (*ATTRIBUTES["hair"], *ATTRIBUTES["eyes"])} | _words(COLOURS)
_TONE = {k: k for k in ATTRIBUTES["skin"]} | _words(TONES)

_SHAPES = "long|short|flowing|spiky|bobbed"
_ENGLISH = {  # the words of one value, or a pattern with the value in it
    "hair": rf"\b({_any(_SHADE)}) (?:(?:{_SHAPES}) )*(?:hair|haired|bob|pixie|twin|tails|buns|double)\b",
    "eyes": rf"\b({_any(_SHADE)}) (?:eyes|eyed)\b",
    "skin": rf"\b({_any(_TONE)}) (?:skin|skinned)\b",
    "background": rf"\b({_any(ATTRIBUTES['background'])}) (?:background|wall|backdrop)\b",
}
_TELLTALE = {
    "style": {
        "twin-tailed": r"\b(?:twin|two) tails\b|\btwin tailed\b",
        "double-bun": r"\bbuns\b",
        "bobbed": r"\b(?:bob|bobbed)\b",
        "short": r"\b(?:short|spiky|pixie)\b",
        "long": r"\b(?:long|flowing)\b|\bpast the shoulders\b",
    },
    "mouth": {
        "smile": r"\b(?:smiling|smile|cheerful)\b",
        "open": r"\b(?:laughing|excited|open mouthed)\b",
        "neutral": r"\b(?:calm|serious|quiet)\b",
        "frown": r"\b(?:frowning|sad|sulking)\b",
    },
    "accessory": {
        "none": r"\b(?:no|without|without any) (?:accessory|accessories)\b",
        "glasses": r"\bglasses\b",
        "ribbon": r"\b(?:ribbon|bow)\b",
        "flower": r"\b(?:flower|blossom)\b",
        "beret": r"\bberet\b",
    },
}
_CHINESE = {
    "hair": (_HAIR, rf"(?<!黝)([{_HAIR}])色?的?[长短]?(?:头发|发|波波头|双马尾|双?丸子头)"),
    "eyes": (_EYES, rf"([{_EYES}])色?的?(?:大)?(?:眼睛|眼眸|眸|眼)"),
    "background": (_GROUND, rf"([{_GROUND}])色?的?背景"),
}
_SIGNS = {
    "style": ("短发|短短的", "波波头", "长发|长长的", "双马尾", "丸子头"),
    "skin": ("白皙", "桃色", "小麦色", "深色的皮肤|黝黑"),
    "mouth": ("微笑", "大笑|兴奋", "平静|严肃", "皱着?眉|难过"),
    "accessory": ("没有饰品", "眼镜", "蝴蝶结|丝带", "花", "贝雷帽"),
}


def understood(caption: str) -> Said:
    """What a caption says, in whatever order; words that are none of ours say nothing."""
    text = " ".join(re.findall(r"[^\W_]+", caption.lower()))
    said: Said = {}
    for k, pattern in _ENGLISH.items():
        if (found := re.search(pattern, text)) and (value := _said(k, found[1])) in ATTRIBUTES[k]:
            said[k] = ATTRIBUTES[k].index(value)
    for k, values in _TELLTALE.items():
        for value, pattern in values.items():
            if re.search(pattern, text):
                said.setdefault(k, ATTRIBUTES[k].index(value))

    signs = re.sub(r"[\W_a-z0-9]+", "", caption.lower())
    for k, (values, pattern) in _CHINESE.items():
        if found := re.search(pattern, signs):
            said[k] = values.index(found[1])
    for k, patterns in _SIGNS.items():
        for i, pattern in enumerate(patterns):
            if re.search(pattern, signs):
                said.setdefault(k, i)
    return said


def _said(k: str, word: str) -> str:
    return _TONE[word] if k == "skin" else word if k == "background" else _SHADE[word]


# -- judging ----------------------------------------------------------------------------------------------------------


def obeyed(found: dict[str, Tensor], captions: Sequence[str]) -> dict[str, float]:
    """How well faces of the attributes `found`, each (N,), fit the captions that they were made from.

    obeyed        fraction in which all that the caption mentions is right; obeyed_unseen of those that mention a
                  hair and eyes that were never trained on together, obeyed_seen of the others
    NAME_obeyed   the same of one attribute, where it is mentioned
    """
    rows = list(zip(*(found[name].tolist() for name in ATTRIBUTES)))
    faces = [dict(zip(ATTRIBUTES, row)) for row in rows]
    told = [(face, said) for face, said in zip(faces, map(understood, captions)) if said]
    right = [(all(face[k] == v for k, v in said.items()), unseen(said)) for face, said in told]
    truth = {"obeyed": _share(r for r, _ in right)}
    truth |= {"obeyed_seen": _share(r for r, new in right if not new)}
    truth |= {"obeyed_unseen": _share(r for r, new in right if new)}
    for k in ATTRIBUTES:
        truth[f"{k}_obeyed"] = _share(face[k] == said[k] for face, said in told if k in said)
    return {name: share for name, share in truth.items() if share is not None}


def unseen(said: Said) -> bool:
    """Whether a caption mentions hair and eyes that are never trained on together."""
    return (said.get("hair"), said.get("eyes")) in UNSEEN


def _share(right: Iterable[bool]) -> float | None:
    some = list(right)
    return sum(some) / len(some) if some else None
