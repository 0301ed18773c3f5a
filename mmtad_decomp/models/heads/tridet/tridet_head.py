"""TriDet as a detection head: a convolutional pyramid and boundaries as expectations."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS, TASK_UTILS
from mmengine.structures import InstanceData
from torch import Tensor

from ..point_branches import ClassificationBranch
from ..point_head import PointHead
from .sgp_encoder import SGPEncoder
from .trident_branch import TridentBranch
from .tridet_outputs import TriDetOutputs


@MODELS.register_module()
class TriDetHead(PointHead):
    """Relative boundary modelling on a pyramid of SGP layers (Shi et al., "TriDet", CVPR 2023).

    The defaults are TriDet's for THUMOS'14. Three things differ from its release: padded steps
    never count, so that a window's outputs do not depend on its batch; the SGP kernels start at
    random, see :class:`SGPLayer`; the boundary responses start at 0.

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
        point_generator: Config of the points; ``regress_ranges`` overrides the ranges
            (0, 4), (4, 8), ...
        assigner: Config of the assigner.
        loss_cls: Config of the loss of class logits.
        loss_reg: Config of the loss of distances.
        loss_norm: First value of the moving average of positives that both losses are divided by.
        loss_norm_momentum: Its momentum.
        score_thr: Candidates need a score above this.
        nms_pre: Candidates kept per level.
        min_length: Candidates need more than this length, in feature steps.
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
        point_generator: dict | None = None,
        assigner: dict | None = None,
        loss_cls: dict | None = None,
        loss_reg: dict | None = None,
        loss_norm: float = 100.0,
        loss_norm_momentum: float = 0.9,
        score_thr: float = 0.001,
        nms_pre: int = 2000,
        min_length: float = 0.05,
        init_cfg: dict | None = None,
    ) -> None:
        candidates = (score_thr, nms_pre, min_length)
        super().__init__(
            num_classes, in_channels, *candidates, loss_norm, loss_norm_momentum, init_cfg
        )
        self.iou_power = iou_power
        self.encoder = SGPEncoder(in_channels, num_levels=num_levels, **(encoder or {}))
        width = self.encoder.out_channels
        channels = width if head_channels is None else head_channels
        self.cls_branch = ClassificationBranch(
            width, channels, num_classes, num_head_layers, prior_prob=prior_prob
        )
        self.boundary_branch = TridentBranch(
            width, channels, num_classes, num_levels, num_bins, num_head_layers
        )
        self.point_generator = TASK_UTILS.build(
            {'type': 'PointGenerator', **(point_generator or {}), 'strides': self.encoder.strides}
        )
        self.assigner = TASK_UTILS.build({'type': 'CenterSamplingAssigner', **(assigner or {})})
        self.loss_cls = MODELS.build({'type': 'SigmoidFocalLoss', **(loss_cls or {})})
        self.loss_reg = MODELS.build({'type': 'SegmentDIoULoss', **(loss_reg or {})})
        self.one_minus_iou = MODELS.build(dict(type='SegmentIoULoss', reduction='none'))

    def forward(self, feats: Tensor, masks: Tensor) -> TriDetOutputs:
        """Predict at every point.

        Args:
            feats: ``(N, D, T)``, any T; what padded steps hold does not matter.
            masks: ``(N, T)`` bool, True = valid.

        Returns:
            Levels of ``ceil(T / stride)`` points, zero at masked points.

        Raises:
            ValueError: If the features have not D channels.
        """
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
        logits = torch.cat(outputs.cls_logits, dim=2).transpose(1, 2)
        # (N, K, 2, P) -> (N, P, K, 2)
        predicted = torch.cat(outputs.offsets, dim=3).permute(0, 3, 1, 2)
        positive = valid[..., None] & (labels > 0)
        # (M, 2): one row per positive pair of point and class.
        found = predicted[positive]
        wanted = offsets[:, :, None].expand_as(predicted)[positive]
        iou = 1 - self.one_minus_iou(found.detach(), wanted)
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
