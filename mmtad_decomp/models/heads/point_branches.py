"""Convolutional branches that predict classes and boundaries at every step of a pyramid."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmtad_decomp.ops import records_a_graph

from ..layers import MaskedConv1d, MaskedLayerNorm, straight_through_clamp


def _softplus(x: Tensor) -> Tensor:
    """Softplus of at least 5e-5, whose gradient is never below 5e-5."""
    return F.softplus(straight_through_clamp(x, min=-10.0))


# Activations of the offsets and the code of each in a state dict.
_ACTIVATIONS = {'relu': (0, torch.relu), 'softplus': (1, _softplus)}


SMALL_LEVEL = 1 << 18
"""Elements of a level up to which it is faster to run it in one row with the others, on a CPU."""


def _in_one_row(levels: Sequence[Tensor], gap: int) -> Tensor:
    """Levels ``(N, C, T_l)`` one after the other, with ``gap`` zero steps behind each."""
    return torch.cat([F.pad(x, (0, gap)) for x in levels], dim=2)


class PointBranch(nn.Module):
    """Convolutions with layer norm and ReLU, then a predicting one; shared by all levels.

    Small levels run in one row, with zeros between them in place of those that a convolution pads
    each with: a few large products and kernel launches in place of many small ones.

    Args:
        in_channels: Channels of the pyramid.
        channels: Width of the branch.
        out_channels: Predictions at each step.
        num_layers: Convolutions, with the predicting one.
        kernel_size: Their kernel size.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        out_channels: int,
        num_layers: int = 3,
        kernel_size: int = 3,
    ) -> None:
        super().__init__()
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        for i in range(num_layers - 1):
            self.convs.append(
                MaskedConv1d(channels if i else in_channels, channels, kernel_size, bias=False)
            )
            self.norms.append(MaskedLayerNorm(channels))
        last = channels if num_layers > 1 else in_channels
        self.predictor = MaskedConv1d(last, out_channels, kernel_size)

    def predict(self, feats: Sequence[Tensor], masks: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Levels ``(N, C, T_l)`` to ``(N, out_channels, T_l)``; the predicting one is float32."""
        sizes = [math.inf if records_a_graph() else x.numel() for x in feats]
        alone = sum(size > SMALL_LEVEL for size in sizes)  # the first ones: levels get shorter
        predictions = [self._run(x, mask) for x, mask in zip(feats[:alone], masks[:alone])]
        return (*predictions, *self._run_in_one_row(feats[alone:], masks[alone:]))

    def _run_in_one_row(self, feats: Sequence[Tensor], masks: Sequence[Tensor]) -> list[Tensor]:
        if len(feats) < 2:
            return [self._run(x, mask) for x, mask in zip(feats, masks)]
        gap = self.predictor.conv.padding[0]
        rows = [mask[:, None] for mask in masks]
        # A norm's bias is seen at the masked steps of a level, but not between levels.
        between = ~_in_one_row([torch.ones_like(row[:1]) for row in rows], gap)  # (1, 1, T)
        # (N, C, T) and (N, T), T the sum of all T_l + gap
        x = self._run(_in_one_row(feats, gap), _in_one_row(rows, gap)[:, 0], between)
        parts = x.split([level.shape[2] + gap for level in feats], dim=2)
        return [part[..., : level.shape[2]] for part, level in zip(parts, feats)]

    def _run(self, x: Tensor, mask: Tensor, between: Tensor | None = None) -> Tensor:
        """``(N, C, T)`` to ``(N, out_channels, T)``; ``between`` ``(1, 1, T)`` is no level's."""
        for conv, norm in zip(self.convs, self.norms):
            x = torch.relu(norm(conv(x, mask)))
            if between is not None:
                x = x.masked_fill(between, 0)
        with torch.autocast(x.device.type, enabled=False):
            return self.predictor(x.to(self.predictor.conv.weight.dtype), mask)


class ClassificationBranch(PointBranch):
    """Class logits at every step.

    Args:
        in_channels: Channels of the pyramid.
        channels: Width of the branch.
        num_classes: K.
        prior_prob: Probability that the bias gives every class at first.
        **layers: ``num_layers`` and ``kernel_size`` of the branch, see :class:`PointBranch`.

    Raises:
        ValueError: If ``prior_prob`` is not within (0, 1).
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        num_classes: int,
        prior_prob: float = 0.01,
        **layers: int,
    ) -> None:
        super().__init__(in_channels, channels, num_classes, **layers)
        if not 0 < prior_prob < 1:
            raise ValueError(f'prior_prob must be within (0, 1), got {prior_prob}')
        nn.init.constant_(self.predictor.conv.bias, math.log(prior_prob / (1 - prior_prob)))

    def forward(self, feats: Sequence[Tensor], masks: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Levels ``(N, C, T_l)`` to logits ``(N, K, T_l)``, zero at masked steps."""
        return self.predict(feats, masks)


class RegressionBranch(PointBranch):
    """Non-negative distances to start and end at every step, in strides of its level.

    ``'relu'`` is ActionFormer's activation. Trained from scratch, it can push a distance below
    zero at every step, and that distance then has no gradient any more. ``'softplus'`` always
    has one, and the bias starts it at two strides.

    The state dict holds the activation as ``activation`` (0 = ReLU, 1 = softplus), because the
    same weights mean other distances under another one. A state dict without it is ReLU's.

    Args:
        in_channels: Channels of the pyramid.
        channels: Width of the branch.
        num_levels: Levels; each has a learnt scale.
        activation: ``'softplus'`` or ``'relu'``.
        **layers: ``num_layers`` and ``kernel_size`` of the branch, see :class:`PointBranch`.

    Raises:
        ValueError: If ``activation`` is another one.
        RuntimeError: If weights that were trained with the other activation are loaded.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        num_levels: int,
        activation: str = 'softplus',
        **layers: int,
    ) -> None:
        super().__init__(in_channels, channels, 2, **layers)
        if activation not in _ACTIVATIONS:
            raise ValueError(
                f'offset_activation must be one of {sorted(_ACTIVATIONS)}, got {activation!r}'
            )
        code, self._activate = _ACTIVATIONS[activation]
        self.scales = nn.Parameter(torch.ones(num_levels))
        self.register_buffer('activation', torch.tensor(code))
        if activation == 'softplus':
            nn.init.constant_(self.predictor.conv.bias, math.log(math.expm1(2.0)))

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        """Refuse the weights of another activation, also where loading is not strict."""
        if f'{prefix}scales' in state_dict:
            stored = int(state_dict.setdefault(f'{prefix}activation', torch.tensor(0)))
            names = {code: name for name, (code, _) in _ACTIVATIONS.items()}
            theirs, mine = names.get(stored, stored), names[int(self.activation)]
            if theirs != mine:
                raise RuntimeError(
                    f'the offsets of {prefix.rstrip(".") or "this branch"} were trained with '
                    f"offset_activation='{theirs}', but the head has '{mine}'. Set the option of "
                    f'the head to {theirs!r} in the config; for a detector without distillation: '
                    f'--cfg-options model.head.offset_activation={theirs}'
                )
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, feats: Sequence[Tensor], masks: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Levels ``(N, C, T_l)`` to distances ``(N, 2, T_l)``, zero at masked steps."""
        return tuple(
            self._activate(x * scale) * mask[:, None]
            for x, mask, scale in zip(self.predict(feats, masks), masks, self.scales)
        )
