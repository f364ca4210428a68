"""The numbers of a sample, turned so that the first few hold most of what varies among the training examples."""

import torch
from torch import Tensor, nn

from .contract import digest


class Pca(nn.Module):
    """(B, ...) to (B, k): the coordinates along the k directions in which given samples (n, ...) vary most.

    k is less where n or the samples' own numbers are fewer.
    """

    def __init__(self, x: Tensor, k: int = 64) -> None:
        super().__init__()
        from sklearn.decomposition import PCA  # a second to import: only when asked for

        x = x.flatten(1).double()
        found = PCA(
            min(k, len(x) - 1, x.shape[1]), svd_solver="randomized" if x.shape[1] > 4096 else "full", random_state=0
        )
        found.fit(x.numpy())
        self.register_buffer("mean", x.mean(0).float())
        self.register_buffer("axes", torch.from_numpy(found.components_).float())
        self.name = f"pca-{len(self.get_buffer('axes'))}-{digest(self)}"

    def forward(self, x: Tensor) -> Tensor:
        return (x.flatten(1).float() - self.get_buffer("mean")) @ self.get_buffer("axes").T
