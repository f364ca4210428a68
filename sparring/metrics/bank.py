"""Features kept as samples stream by, in batches and in several processes, and put in one order at the end."""

from typing import Any

import torch
from torch import Tensor

from .. import parallel


class Bank:
    """Features (n, d) in float32 on the CPU.

    d: features of a sample; source: the extractor and resize they come from, in words: sets of different sources are
    never put together or compared.
    """

    def __init__(self, d: int, source: str = "") -> None:
        self.d, self.source = d, source
        self.parts: list[Tensor] = []
        self.ids: list[Tensor] = []

    def update(self, x: Tensor, ids: Tensor | None = None) -> "Bank":
        """Puts features x (b, d) in, b >= 0.

        ids: (b,) whole numbers that name the samples over all batches and processes.  With them the order is theirs,
        however the samples were shared out, and one that was seen twice (a sampler's padding) counts once.
        """
        x = torch.as_tensor(x).detach()
        if x.ndim != 2 or x.shape[1] != self.d:
            raise ValueError(f"features of shape {tuple(x.shape)} for a bank of {self.d} each; give (b, {self.d})")
        if ids is not None and len(ids) != len(x):
            raise ValueError(f"{len(ids)} ids for {len(x)} samples; give one each, or none")
        if len(x) and self.parts and (ids is None) != (not self.ids):
            raise ValueError("some batches have ids and some do not; give them with every batch, or with none")
        if len(x):
            self.parts.append(x.float().cpu())
            self.ids += [] if ids is None else [torch.as_tensor(ids).long().cpu()]
        return self

    def merge(self, other: "Bank") -> "Bank":
        """Puts in what another bank holds."""
        self.source = one_source(self, other)
        for i, x in enumerate(other.parts):
            self.update(x, other.ids[i] if other.ids else None)
        return self

    def all_reduce(self, group: Any = None) -> "Bank":
        """Puts in what the banks of all processes hold, in order of rank; two messages, empty banks allowed."""
        ids = torch.cat(self.ids) if self.ids else torch.full((len(self),), -1)
        words = torch.cat([self._joined().view(torch.int32), ids[:, None].view(torch.int32)], 1)  # one message for both
        words = parallel.gather_rows(words, group)

        ids = words[:, -2:].contiguous().view(torch.int64)[:, 0]
        self.parts = [words[:, :-2].contiguous().view(torch.float32)]
        self.ids = [] if (ids < 0).any() else [ids]
        return self

    def state_dict(self) -> dict[str, Any]:
        """What is held, as tensors and plain values."""
        ids = torch.cat(self.ids) if self.ids else None
        return {"features": self._joined(), "ids": ids, "source": self.source}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.parts, self.ids = [], []
        self.source = saved["source"]
        self.update(saved["features"], saved["ids"])

    @property
    def features(self) -> Tensor:
        """(n, d), in the order of the ids where there are any, each id once."""
        x = self._joined()
        if not self.ids:
            return x
        ids, order = torch.cat(self.ids).sort(stable=True)
        first = torch.ones_like(ids, dtype=torch.bool)
        first[1:] = ids[1:] != ids[:-1]
        return x[order[first]]

    def _joined(self) -> Tensor:
        return torch.cat(self.parts) if self.parts else torch.zeros(0, self.d)

    def __len__(self) -> int:
        return len(torch.cat(self.ids).unique()) if self.ids else sum(map(len, self.parts))


def one_source(*sets: Any) -> str:
    """The source that all sets with one have; ValueError if they have several."""
    sources = list(dict.fromkeys(s for x in sets if (s := getattr(x, "source", ""))))
    if len(sources) > 1:
        raise ValueError(
            f"features of {' and of '.join(sources)} cannot be compared; use one extractor and one resize for both sets"
        )
    return sources[0] if sources else ""
