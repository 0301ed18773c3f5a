"""TriDet as a detection head: a convolutional pyramid and boundaries as expectations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor

from ...losses.segment_iou_loss import segment_iou_loss
from ..averaged_point_head import AveragedPointHead
from ..point_branches import ClassificationBranch
from ..point_head import all_points
from .sgp_encoder import SGPEncoder
from .trident_branch import TridentBranch
from .tridet_outputs import TriDetOutputs


@MODELS.register_module()
class TriDetHead(AveragedPointHead):
    """Relative boundary modelling on a pyramid of SGP layers (Shi et al., "TriDet", CVPR 2023).

    The defaults are TriDet's for THUMOS'14. Five things differ from its release: padded steps
    never count, so that a window's outputs do not depend on its batch; the SGP kernels start at
    random, see :class:`SGPLayer`; the boundary responses start at 0; the IoU that weights the
    class loss has no gradient, so that this loss does not move boundaries; no noise is added to
    the input in training (0.0005 in the release).

    Args:
        num_classes: K.
        in_channels: D, channels of the features.
        num_levels: Levels of the pyramid, with strides 1, 2, 4, ... steps.
        encoder: Arguments of :class:`SGPEncoder`.
        head_channels: Width of the branches; None takes the encoder's.
        num_head_layers: Convolutions per branch, with the predicting one.
        num_bins: B, the largest distance to a boundary, in strides.
        prior_prob: Probability that the classifier's bias gives every class at first.
        iou_power: The class loss of a positive is weighted with the IoU of its segment to this
            power.
        **kwargs: Arguments of :class:`AveragedPointHead`: ``loss_norm``, ``loss_norm_momentum``,
            and those of :class:`PointHead`: ``point_generator``, ``assigner``, ``loss_cls``,
            ``loss_reg``, ``score_thr``, ``nms_pre``, ``min_length``.
    """

    title = 'TriDet'

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        num_levels: int = 6,
        encoder: dict | None = None,
        head_channels: int | None = None,
        num_head_layers: int = 3,
        num_bins: int = 16,
        prior_prob: float = 0.01,
        iou_power: float = 0.2,
        **kwargs: Any,
    ) -> None:
        levels = SGPEncoder(in_channels, num_levels=num_levels, **(encoder or {}))
        super().__init__(num_classes, in_channels, levels.strides, **kwargs)
        self.iou_power = iou_power
        self.encoder = levels
        width = self.encoder.out_channels
        channels = width if head_channels is None else head_channels
        self.cls_branch = ClassificationBranch(
            width, channels, num_classes, prior_prob, num_layers=num_head_layers
        )
        self.boundary_branch = TridentBranch(
            width, channels, num_classes, num_levels, num_bins, num_layers=num_head_layers
        )

    def forward(self, feats: Tensor, masks: Tensor) -> TriDetOutputs:
        """Predict at every point, see :meth:`.PointHead.forward`."""
        self.check_channels(feats)
        # One more point per level: the branches' norms let the last valid point see its bias.
        padding = (0, self.encoder.strides[-1])
        feats = F.pad(feats.masked_fill(~masks[:, None], 0), padding)
        pyramid, level_masks = self.encoder(feats, F.pad(masks, padding))
        lengths = [-(-masks.shape[1] // stride) for stride in self.encoder.strides]

        def cut(levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
            return tuple(x[..., :length] for x, length in zip(levels, lengths))

        return TriDetOutputs(
            cut(self.cls_branch(pyramid, level_masks)),
            cut(self.boundary_branch(pyramid, level_masks)),
            cut(level_masks),
        )

    def loss_by_feat(
        self, outputs: TriDetOutputs, gt: Sequence[InstanceData]
    ) -> dict[str, Tensor]:
        """Focal loss of all valid points and overlap loss of the positive ones.

        The boundaries are those of the ground truth's class. A positive's class loss is weighted
        with the IoU of its segment to the power of ``iou_power``.

        Args:
            outputs: Result of :meth:`forward`.
            gt: Per sample ``segments`` (G, 2) in feature steps and ``labels`` (G,).

        Returns:
            ``loss_cls`` and ``loss_reg``, float32 scalars.
        """
        # (N, P, K) and (N, P, 2) over the P points of all levels.
        labels, offsets = self.targets(outputs, gt)
        valid = torch.cat(outputs.masks, dim=1)
        logits = all_points(outputs.cls_logits)
        # (N, K, 2, P) -> (N, P, K, 2)
        predicted = torch.cat(outputs.offsets, dim=3).permute(0, 3, 1, 2)
        positive = valid[..., None] & (labels > 0)
        # (M, 2): one row per positive pair of point and class.
        found = predicted[positive]
        wanted = offsets[:, :, None].expand_as(predicted)[positive]
        iou = 1 - segment_iou_loss(found.detach(), wanted)
        weight = torch.ones(labels.shape, dtype=iou.dtype, device=iou.device)
        weight[positive] = iou**self.iou_power
        count = self.average_positives(positive.any(dim=-1).sum())
        return dict(
            loss_cls=self.loss_cls(logits[valid], labels[valid], weight[valid], avg_factor=count),
            loss_reg=self.loss_reg(found, wanted, avg_factor=count),
        )

    def _offsets_of(self, offsets: Tensor, step: Tensor, label: Tensor) -> Tensor:
        """``(M, 2)`` offsets of steps and classes ``(M,)``, from ``(K, 2, T)``."""
        return offsets[label, :, step]
