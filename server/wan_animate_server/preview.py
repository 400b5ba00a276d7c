"""A cheap look at latents while they are still being denoised. Knows no network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from .conditions import Picture


@dataclass(frozen=True, eq=False)
class Preview:
    """The linear map from a latent pixel to a colour that fits one encoded picture best."""

    weight: Tensor
    """[channels + 1, 3], the last row the colour of a zero latent."""

    @classmethod
    def fitted(cls, latent: Tensor, picture: Tensor) -> Preview:
        """From the `latent` [1, C, 1, h, w] of a `picture` [1, 3, 1, H, W], by ridge regression.

        Fitting to the shot's own reference serves every autoencoder, trained on whatever.
        """
        rows = _rows(latent[0, :, 0])
        colours = interpolate(picture[:, :, 0], latent.shape[-2:], mode="area")[0].flatten(1).T
        ridge = 1e-3 * len(rows) * torch.eye(rows.shape[1])
        return cls(torch.linalg.solve(rows.T @ rows + ridge, rows.T @ colours.float().cpu()))

    def __call__(self, latent: Tensor) -> Picture:
        """A latent frame [C, h, w] as a picture [h, w, 3]."""
        colours = (_rows(latent) @ self.weight).view(*latent.shape[-2:], 3)
        picture: Picture = ((colours.clamp(-1, 1) + 1) * 127.5).round().byte().numpy()
        return picture


def _rows(latent: Tensor) -> Tensor:
    """[C, h, w] → [h·w, C + 1] on the CPU, with a column of ones."""
    rows = latent.float().cpu().flatten(1).T
    return torch.cat([rows, torch.ones(len(rows), 1)], 1)
