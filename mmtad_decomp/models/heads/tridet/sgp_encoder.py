"""TriDet's encoder: scalable-granularity perception (SGP) layers instead of attention."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...layers import (
    MaskedConv1d,
    MaskedGroupNorm,
    MaskedLayerNorm,
    ScaledDropPath,
    downsample_mask,
)
from ..level_encoder import LevelEncoder


def wide_kernel_size(kernel_size: int, ratio: float) -> int:
    """Width of the wide convolution: ``round((kernel_size + 1) * ratio)``, plus 1 if even."""
    size = round((kernel_size + 1) * ratio)
    return size if size % 2 else size + 1


class SGPLayer(nn.Module):
    r"""Scalable-granularity perception (Shi et al., "TriDet", CVPR 2023).

    With depth-wise convolutions of width 1 (FC), w and about w k, the normalised input x becomes

    .. math:: f = \phi(x) FC(x) + \psi(x) (Conv_w(x) + Conv_{kw}(x)) + x, \quad
        \phi(x) = ReLU(FC(mean(x))), \quad \psi(x) = Conv_w(x)

    The first product sees the difference of a step to the whole sequence (instant level), the
    second what lies around it (window level). A feed-forward network follows; both are residual.
    The mean and the norms count valid steps only.

    Args:
        channels: C, a multiple of ``num_groups``.
        kernel_size: w, odd.
        ratio: k.
        stride: 1 or 2; max pooling before the layer.
        mlp_dims: Width of the feed-forward network's hidden layer.
        drop_path: Probability to drop a residual branch of a sample.
        layer_scale: First value of the branches' scale per channel; None leaves it out.
        num_groups: Groups of the norm before the feed-forward network.
        init_std: Standard deviation of the depth-wise kernels at first. At 0 neither product has
            a gradient.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 1,
        ratio: float = 5.0,
        stride: int = 1,
        mlp_dims: int = 768,
        drop_path: float = 0.0,
        layer_scale: float | None = None,
        num_groups: int = 16,
        init_std: float = 0.1,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.norm1 = MaskedLayerNorm(channels)
        widths = dict(
            instant=1,
            window=kernel_size,
            window_wide=wide_kernel_size(kernel_size, ratio),
            window_gate=kernel_size,
        )
        for name, width in widths.items():
            conv = MaskedConv1d(channels, channels, width, groups=channels)
            nn.init.normal_(conv.conv.weight, std=init_std)
            self.add_module(name, conv)
        self.instant_gate = nn.Conv1d(channels, channels, 1, groups=channels)
        nn.init.normal_(self.instant_gate.weight, std=init_std)
        nn.init.zeros_(self.instant_gate.bias)
        self.norm2 = MaskedGroupNorm(num_groups, channels)
        self.mlp = nn.Sequential(
            nn.Conv1d(channels, mlp_dims, 1), nn.GELU(), nn.Conv1d(mlp_dims, channels, 1)
        )
        for conv in (self.mlp[0], self.mlp[2]):
            nn.init.zeros_(conv.bias)
        self.drop_path1 = ScaledDropPath(channels, drop_path, layer_scale)
        self.drop_path2 = ScaledDropPath(channels, drop_path, layer_scale)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Transform.

        Args:
            x: ``(N, C, T)``.
            mask: ``(N, T)`` bool, True = valid.

        Returns:
            ``(N, C, ceil(T / stride))``, zero at masked steps, and its mask.
        """
        if self.stride > 1:
            # Padded steps never win: step i of the result lies on the valid step i * stride.
            x = x.masked_fill(~mask[:, None], torch.finfo(x.dtype).min)
            x = F.max_pool1d(x, self.stride + 1, self.stride, self.stride // 2)
            mask = downsample_mask(mask, self.stride)
            x = x.masked_fill(~mask[:, None], 0)
        valid = mask[:, None].to(x.dtype)
        normed = self.norm1(x, mask)
        # (N, C, 1): the mean over the valid steps of each sample.
        mean = normed.sum(dim=2, keepdim=True) / valid.sum(dim=2, keepdim=True).clamp(min=1)
        gate = torch.relu(self.instant_gate(mean))
        out = self.instant(normed, mask) * gate + normed
        window = self.window(normed, mask) + self.window_wide(normed, mask)
        out = out + self.window_gate(normed, mask) * window
        x = x + self.drop_path1(out)
        return x + self.drop_path2(self.mlp(self.norm2(x, mask)) * valid), mask


class SGPEncoder(LevelEncoder):
    """Features of one scale to normalised features of ``num_levels`` scales.

    Embedding convolutions, SGP layers at full length, then one layer that halves the sequence
    per further level. The defaults are TriDet's for THUMOS'14, but for ``init_std``.

    Args:
        in_channels: Channels of the features.
        embed_dims: Width of the encoder.
        num_levels: Levels, with strides 1, 2, 4, ...
        num_embed_layers: Embedding convolutions of width 3.
        num_stem_layers: SGP layers of width 1 at full length.
        kernel_size: w of the layers that halve the sequence.
        drop_path: Probability to drop a residual branch of these.
        layer_scale: First value of the scale of their branches.
        **layer: Arguments of all :class:`SGPLayer`.
    """

    def __init__(
        self,
        in_channels: int,
        embed_dims: int = 512,
        num_levels: int = 6,
        num_embed_layers: int = 2,
        num_stem_layers: int = 2,
        kernel_size: int = 1,
        drop_path: float = 0.1,
        layer_scale: float | None = 1e-4,
        **layer,
    ) -> None:
        halving = dict(
            layer, kernel_size=kernel_size, drop_path=drop_path, layer_scale=layer_scale
        )
        super().__init__(
            in_channels,
            embed_dims,
            num_levels,
            lambda _, stride: SGPLayer(
                embed_dims, stride=stride, **(layer if stride == 1 else halving)
            ),
            num_embed_layers=num_embed_layers,
            num_stem_layers=num_stem_layers,
        )
        self.norms = nn.ModuleList(MaskedLayerNorm(embed_dims) for _ in range(num_levels))

    def forward(self, x: Tensor, mask: Tensor) -> tuple[list[Tensor], tuple[Tensor, ...]]:
        """Encode.

        Args:
            x: ``(N, C, T)``, zero at masked steps.
            mask: ``(N, T)`` bool, True = valid.

        Returns:
            Features ``(N, embed_dims, ceil(T / stride))`` and masks of every level.
        """
        feats, masks = self.levels(self.embed(x, mask), mask)
        return [norm(x, mask) for norm, x, mask in zip(self.norms, feats, masks)], masks
