"""What takes minutes to make is kept: networks that learned, and the features of reference data."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..data import Dataset
from ..data import cache as caches
from ..spaces import to_json
from .learned import Learned, blank

LEARNING = ("encoder.py", "learned.py", "texts.py", "views.py", "../augment.py")  # what a learned network depends on
LOOKING = (  # what features depend on beside the weights, which an extractor's name tells
    *("contract.py", "encoder.py", "own.py", "pca.py", "sized.py", "standard.py", "texts.py", "untrained.py"),
    *("../nets/inception.py", "../spaces.py"),
)


def network(
    data: Dataset, classes: int, options: dict[str, Any], folder: Path | None, make: Callable[[], Learned]
) -> Learned:
    """The network that `make` learns from the training examples of `data`, or the one it learned before."""

    def build(aside: Path) -> None:
        made = make()
        save_file({k: v.contiguous() for k, v in made.net.state_dict().items()}, aside / "weights.safetensors")
        (aside / "card.json").write_text(json.dumps({"steps": made.steps, "notes": made.notes}))

    def load(place: Path) -> Learned:
        weights = _whole(place / "weights.safetensors")
        net = blank(data.spec.x, classes)
        net.load_state_dict(weights)
        net.settled()
        return Learned(net, **json.loads((place / "card.json").read_text()))

    marks = (data.card["fingerprint"], to_json(data.spec), classes, options, _code(LEARNING), torch.__version__)
    home, temporary, _ = caches.writable(folder or caches.home())
    try:
        return caches.kept(home, caches.key("classifier" if classes else "learned", *marks), build, load)
    finally:
        del temporary


def features(
    data: Dataset, part: str, n: int, extractor: str, folder: Path | None, make: Callable[[], Tensor]
) -> Tensor:
    """Features (n, d) of the first n examples of a part of `data` by the extractor of that name: made once."""

    def build(aside: Path) -> None:
        save_file({"features": make()}, aside / "features.safetensors")

    def load(place: Path) -> Tensor:
        return _whole(place / "features.safetensors")["features"]

    home, temporary, _ = caches.writable(folder or caches.home())
    try:
        marks = (data.card["fingerprint"], to_json(data.spec), part, n, extractor, _code(LOOKING), torch.__version__)
        return caches.kept(home, caches.key("features", *marks), build, load)
    finally:
        del temporary


def _code(files: tuple[str, ...]) -> str:
    return sha256(b"".join((Path(__file__).parent / name).read_bytes() for name in files)).hexdigest()


def _whole(file: Path) -> dict[str, Tensor]:
    """What is in the file; ValueError if it is damaged, upon which it is made anew."""
    try:
        return load_file(file)
    except SafetensorError as error:
        raise ValueError(f"{file} is damaged") from error
