"""The global segmentation masks of TAGS: for every snippet, a mask over the whole sequence."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...layers import MaskedConv1d


def class_log_odds(logits: Tensor) -> Tensor:
    """Log-odds ``log(p / (1 - p))`` of the softmax over axis 1, in float32.

    Their sigmoid is the softmax's probability, so that what reads independent classes can read
    exclusive ones. A probability within 1e-6 of 1 counts as 1 - 1e-6 and has no gradient.
    """
    log_p = F.log_softmax(logits.float(), dim=1).clamp(max=-1e-6)
    return log_p - torch.log(-torch.expm1(log_p))


class GlobalMaskBranch(nn.Module):
    """Convolutions over time, then one logit of every step for every snippet.

    The last convolution's channels are the steps of the mask. In TAGS channel s is step s of the
    sequence. With ``relative`` (our choice) it is the step s - M + 1 behind the snippet, so that
    the same action has the same mask logits wherever in the sequence it lies.

    Args:
        in_channels: Channels of the snippets' embeddings.
        max_steps: M, the longest sequence.
        channels: Channels of the convolutions.
        kernel_size: Their odd kernel size.
        relative: Whether channels count from the snippet or from the sequence's first step.
    """

    def __init__(
        self,
        in_channels: int,
        max_steps: int,
        channels: Sequence[int] = (1024, 512, 256),
        kernel_size: int = 3,
        relative: bool = True,
    ) -> None:
        super().__init__()
        self.max_steps = max_steps
        self.relative = relative
        widths = [in_channels, *channels]
        self.convs = nn.ModuleList(
            MaskedConv1d(width, out, kernel_size) for width, out in pairwise(widths)
        )
        self.predictor = nn.Conv1d(widths[-1], 2 * max_steps - 1 if relative else max_steps, 1)

    def forward(self, feats: Tensor, masks: Tensor) -> Tensor:
        """``(N, C, T)`` and ``(N, T)`` to ``(N, T, T)`` logits, snippets before steps.

        Raises:
            ValueError: If T is above ``max_steps``.
        """
        steps = feats.shape[2]
        if steps > self.max_steps:
            raise ValueError(
                f'sequences have {steps} steps, the masks {self.max_steps}: set the '
                "TAGSHead's max_steps to the longest sequence"
            )
        for conv in self.convs:
            feats = F.relu(conv(feats, masks))
        logits = self.predictor(feats).transpose(1, 2)
        if not self.relative:
            return logits[:, :, :steps]
        step = torch.arange(steps, device=feats.device)
        channel = step[None, :] - step[:, None] + self.max_steps - 1
        return logits.gather(2, channel.expand(logits.shape[0], -1, -1))
