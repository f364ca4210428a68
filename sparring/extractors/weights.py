"""The published weights of the network behind FID: where they are looked for, and how they are known.

Nothing is downloaded.  A file is known by its SHA-256 before a byte of it is unpacked, and no code in it is ever run.
"""

import os
import pickle
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..nets.inception import Inception
from .contract import ExtractorError

VARIABLE = "SPARRING_INCEPTION"
FILES = ("pt_inception-2015-12-05-6726825d.pth", "weights-inception-2015-12-05-6726825d.pth")
PUBLISHED = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
BYTES = 95_628_359

WHERE = (
    f"{FILES[0]} (of the releases of pytorch-fid) or {FILES[1]} (of torch-fidelity), both of {BYTES:,} bytes with "
    f"SHA-256 {PUBLISHED}"
)


def wanted(given: str | None) -> str | None:
    """What names the weights: the path that is given, or else the environment variable's."""
    return given or os.environ.get(VARIABLE) or None


def inception(given: str | None) -> tuple[dict[str, Tensor], str]:
    """The weights and the SHA-256 of the file they were published in.

    given: a .pth, its `convert`ed .safetensors, or a folder that has one of them; PATH#DIGITS takes any other file
    whose SHA-256 begins with these eight digits or more.  ExtractorError for all that is not the weights.
    """
    if not (name := wanted(given)):
        raise ExtractorError(
            f"extractor inception needs its weights, which are never downloaded unasked: get {WHERE}, "
            f"and give --weights PATH or set {VARIABLE}"
        )
    text, _, other = name.partition("#")
    try:
        path = _file(Path(text).expanduser())
        read = _read_safetensors if path.suffix == ".safetensors" else _read_pth
        return read(path, other.lower())
    except ExtractorError as error:
        raise error if given else ExtractorError(f"{VARIABLE} is set, which stands for --weights: {error}") from error


def convert(source: str | Path, target: str | Path) -> None:
    """Writes the weights of a .pth as .safetensors, with the SHA-256 of where they came from and of themselves."""
    weights, digest = inception(str(source))
    aside = Path(target).with_suffix(".aside")
    save_file(weights, aside, {"published": digest, "content": _content(weights)})
    aside.replace(target)


def _file(path: Path) -> Path:
    if path.is_dir():
        for name in (*FILES, *(Path(f).with_suffix(".safetensors").name for f in FILES)):
            if (path / name).is_file():
                return path / name
        raise ExtractorError(f"--weights {path} is a folder without {FILES[0]} or {FILES[1]} in it; give the file")
    if not path.is_file():
        raise ExtractorError(f"--weights {path} does not exist; it should be {WHERE}")
    return path


def _read_pth(path: Path, other: str) -> tuple[dict[str, Tensor], str]:
    with path.open("rb") as file:
        digest = _sum(file)
    _refuse_unknown(path, digest, other)
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise ExtractorError(
            f"--weights {path} is no file of plain tensors ({str(error).splitlines()[0][:100]}); a .pt or .pkl holds "
            f"code, which is never run; take {WHERE}"
        ) from error
    return _fitting(path, weights), digest


def _read_safetensors(path: Path, other: str) -> tuple[dict[str, Tensor], str]:
    try:
        with safe_open(path, "pt") as file:
            told = file.metadata() or {}
            weights = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ExtractorError(f"--weights {path} cannot be read as safetensors ({error}); make it again") from error
    if "published" in told:
        if _content(weights) != told.get("content"):
            raise ExtractorError(
                f"--weights {path} is damaged: its tensors are not those that were written; make it again"
            )
        digest = told["published"]
    else:
        with path.open("rb") as file:
            digest = _sum(file)
    _refuse_unknown(path, digest, other)
    return _fitting(path, weights), digest


def _refuse_unknown(path: Path, digest: str, other: str) -> None:
    """Only the published weights, or those whose digits the user has written out."""
    if digest == PUBLISHED and not other:
        return
    if other and len(other) < 8:
        raise ExtractorError(f"--weights {path}#{other}: give eight digits of the SHA-256 or more; it is {digest}")
    if other and not digest.startswith(other):
        raise ExtractorError(f"--weights {path} has SHA-256 {digest}, which does not begin with {other}")
    if not other:
        raise ExtractorError(
            f"--weights {path} has SHA-256 {digest}, and the published weights have {PUBLISHED}: take {FILES[0]}, or "
            f"write --weights {path}#{digest[:8]} to measure by these, though no published number compares"
        )


def _fitting(path: Path, weights: Any) -> dict[str, Tensor]:
    """The weights by the names and shapes that the network has; what it has no use for is left out."""
    with torch.device("meta"):
        expected = {k: v.shape for k, v in Inception().state_dict().items() if not k.endswith("num_batches_tracked")}
    if not isinstance(weights, Mapping) or not all(isinstance(v, Tensor) for v in weights.values()):
        raise ExtractorError(f"--weights {path} holds no tensors by name; take {WHERE}")
    lost = [k for k in expected if k not in weights]
    if lost:
        more = f" and {len(lost) - 1} others" if lost[1:] else ""
        raise ExtractorError(
            f"--weights {path} has no {lost[0]}{more}: it holds another network (the first of its names: "
            f"{next(iter(weights), 'none')}); take {WHERE}"
        )
    if wrong := [k for k, shape in expected.items() if weights[k].shape != shape]:
        k = wrong[0]
        raise ExtractorError(
            f"--weights {path}: {k} has shape {tuple(weights[k].shape)} and should have {tuple(expected[k])}; "
            f"ImageNet's own Inception has 1000 classes and is another network; take {WHERE}"
        )
    return {k: weights[k].float() for k in expected}


def _content(weights: Mapping[str, Tensor]) -> str:
    whole = sha256()
    for name, w in sorted(weights.items()):
        whole.update(f"{name} {tuple(w.shape)} {w.dtype};".encode())
        whole.update(w.contiguous().numpy().tobytes())
    return whole.hexdigest()


def _sum(file: Any) -> str:
    whole = sha256()
    while block := file.read(1 << 20):
        whole.update(block)
    return whole.hexdigest()
