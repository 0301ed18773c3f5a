"""ActionFormer as a detection head: encoder, pyramid, and predictions at every point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor

from mmtad_decomp.ops import in_torch_export
from mmtad_decomp.structures import PointOutputs

from ..averaged_point_head import AveragedPointHead
from ..point_branches import ClassificationBranch, RegressionBranch
from ..point_head import all_points
from ..temporal_head import ExportedLengths


@MODELS.register_module()
class ActionFormerHead(AveragedPointHead):
    """Anchor-free detection at the points of a temporal pyramid (Zhang et al., ECCV 2022).

    Every default but ``offset_activation`` is ActionFormer's for THUMOS'14. ``encoder``,
    ``pyramid`` and ``point_generator`` need not name channels, levels or strides: the head fills
    them in.

    Padding. Any length T is padded at the end, inside, and the outputs are cut back. ActionFormer
    pads inputs shorter than ``max_seq_len`` to that length, and the norms' biases make the
    first padded step of each level visible to its last valid neighbour. The head pads just as
    far as that can be seen, so its outputs equal ActionFormer's, and a sample's outputs do
    not depend on how far its batch is padded. Samples near ``max_seq_len``, or another length at
    which ActionFormer's padding ends, see less of it; in a longer batch they run on their own.

    Args:
        num_classes: K.
        in_channels: D, channels of the features.
        num_levels: Levels of the pyramid, with strides 1, 2, 4, ... steps.
        encoder: Config of the encoder.
        pyramid: Config of the pyramid.
        head_channels: Width of both branches; None takes the pyramid's.
        num_head_layers: Convolutions per branch, with the predicting one.
        head_kernel_size: Their kernel size.
        prior_prob: Probability that the classifier's bias gives every class at first.
        offset_activation: ``'softplus'``, or ``'relu'`` for weights of an official ActionFormer;
            see :class:`~mmtad_decomp.models.heads.RegressionBranch`.
        max_seq_len: Length to which ActionFormer pads; None: the length is never reached.
        label_smoothing: e; class targets y become ``y (1 - e) + e / (K + 1)``.
        **kwargs: Arguments of :class:`AveragedPointHead`: ``loss_norm``, ``loss_norm_momentum``,
            and those of :class:`PointHead`: ``point_generator``, ``assigner``, ``loss_cls``,
            ``loss_reg``, ``score_thr``, ``nms_pre``, ``min_length``.
    """

    title = 'ActionFormer'

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        num_levels: int = 6,
        encoder: dict | None = None,
        pyramid: dict | None = None,
        head_channels: int | None = None,
        num_head_layers: int = 3,
        head_kernel_size: int = 3,
        prior_prob: float = 0.01,
        offset_activation: str = 'softplus',
        max_seq_len: int | None = 2304,
        label_smoothing: float = 0.0,
        **kwargs: Any,
    ) -> None:
        sizes = dict(in_channels=in_channels, num_levels=num_levels)
        levels = MODELS.build({'type': 'ConvTransformerEncoder', **(encoder or {}), **sizes})
        super().__init__(num_classes, in_channels, levels.strides, **kwargs)
        self.max_seq_len = max_seq_len
        self.label_smoothing = label_smoothing
        self.encoder = levels
        sizes['in_channels'] = self.encoder.out_channels
        self.pyramid = MODELS.build({'type': 'TemporalPyramid', **(pyramid or {}), **sizes})
        width = self.pyramid.out_channels
        layers = dict(num_layers=num_head_layers, kernel_size=head_kernel_size)
        channels = width if head_channels is None else head_channels
        self.cls_branch = ClassificationBranch(width, channels, num_classes, prior_prob, **layers)
        self.reg_branch = RegressionBranch(
            width, channels, num_levels, offset_activation, **layers
        )

    def _visible_length(self, steps: int) -> int:
        """Steps that valid ones can see, if padding goes on: one padded step of each level."""
        stride = self.encoder.strides[-1]
        return (-(-steps // stride) + 1) * stride

    def _padded_length(self, steps: int) -> int:
        """Steps to pad to, so that what ActionFormer's padding shows is shown and no more."""
        stride, visible = self.encoder.strides[-1], self._visible_length(steps)
        if in_torch_export():
            return steps + stride  # multiples of the stride, see `exported_lengths`
        if self.max_seq_len is None:
            return visible
        multiple = stride
        if steps > self.max_seq_len:
            pairs = zip(self.encoder.strides, self.encoder.window_sizes)
            spans = (s * (w // 2) * 2 if w is not None and w > 1 else s for s, w in pairs)
            multiple = math.lcm(stride, max(spans))
        official = (max(steps, self.max_seq_len) + multiple - 1) // multiple * multiple
        stretched = self.encoder.position_length is not None and steps > self.max_seq_len
        return official if stretched else min(visible, official)

    def exported_lengths(self) -> ExportedLengths:
        """Lengths that are padded by one coarsest stride, as all but the longest windows are."""
        stride = self.encoder.strides[-1]
        longest = None if self.max_seq_len is None else self.max_seq_len - stride
        return ExportedLengths(stride, longest)

    def forward(self, feats: Tensor, masks: Tensor) -> PointOutputs:
        """Predict at every point, see :meth:`.PointHead.forward`."""
        self.check_channels(feats)
        if self.max_seq_len is None or masks.shape[1] <= self.max_seq_len:
            return self._predict(feats, masks)
        groups = self._groups(masks)
        if len(groups) == 1:
            return self._predict(feats, masks)
        parts = []
        for length, rows in groups.items():
            steps = min(length or masks.shape[1], masks.shape[1])
            parts.append((rows, self._predict(feats[rows, :, :steps], masks[rows, :steps])))
        lengths = [math.ceil(masks.shape[1] / stride) for stride in self.encoder.strides]
        return PointOutputs(*(_merge(parts, kind, lengths) for kind in PointOutputs._fields))

    def _groups(self, masks: Tensor) -> dict[int | None, list[int]]:
        """Samples that can run together, by the length at which their padding must end.

        None: it may end anywhere. This reads the lengths of samples, so it is only for batches
        that are longer than ``max_seq_len``.
        """
        longest, stretches = masks.shape[1], self.encoder.position_length is not None
        groups: dict[int | None, list[int]] = {}
        for row, steps in enumerate(masks.sum(dim=1).tolist()):
            end = self._padded_length(max(steps, 1))
            # Positions are stretched to the padded length, from max_seq_len on.
            if stretches and self.max_seq_len is not None:
                end = max(end, self.max_seq_len)
            free = not stretches and end >= self._visible_length(steps)
            fits = free or end == self._padded_length(longest)
            groups.setdefault(None if fits else end, []).append(row)
        return groups

    def _predict(self, feats: Tensor, masks: Tensor) -> PointOutputs:
        """Predict for samples of one group, see :meth:`_groups`."""
        steps = feats.shape[2]
        padding = (0, self._padded_length(steps) - steps)
        feats = F.pad(feats.masked_fill(~masks[:, None], 0), padding)
        encoded, level_masks = self.encoder(feats, F.pad(masks, padding))
        pyramid = self.pyramid(encoded, level_masks)
        lengths = [-(-steps // stride) for stride in self.encoder.strides]
        if in_torch_export():
            lengths = [steps // stride for stride in self.encoder.strides]

        def cut(levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
            return tuple(x[..., :length] for x, length in zip(levels, lengths))

        return PointOutputs(
            cut(self.cls_branch(pyramid, level_masks)),
            cut(self.reg_branch(pyramid, level_masks)),
            cut(level_masks),
        )

    def loss_by_feat(self, outputs: PointOutputs, gt: Sequence[InstanceData]) -> dict[str, Tensor]:
        """Focal loss of all valid points and overlap loss of the positive ones.

        Args:
            outputs: Result of :meth:`forward`.
            gt: Per sample ``segments`` (G, 2) in feature steps and ``labels`` (G,).

        Returns:
            ``loss_cls`` and ``loss_reg``, float32 scalars.
        """
        # Points of all levels in one row: (N, P, K) and (N, P, 2), P the sum of their lengths.
        labels, offsets = self.targets(outputs, gt)
        valid = torch.cat(outputs.masks, dim=1)
        logits = all_points(outputs.cls_logits)
        predicted = all_points(outputs.offsets)
        positive = valid & (labels.sum(-1) > 0)
        # Both losses are divided by a running mean of the positive points of a batch.
        normalizer = self.average_positives(positive.sum())
        # Smoothing shares its part evenly among the K classes and the background.
        smoothing = self.label_smoothing
        labels = labels * (1 - smoothing) + smoothing / (self.num_classes + 1)
        return dict(
            loss_cls=self.loss_cls(logits[valid], labels[valid], avg_factor=normalizer),
            loss_reg=self.loss_reg(predicted[positive], offsets[positive], avg_factor=normalizer),
        )


def _merge(
    parts: Sequence[tuple[list[int], PointOutputs]], kind: str, lengths: Sequence[int]
) -> tuple[Tensor, ...]:
    """Outputs of groups of samples as those of one batch, padded by zeros at the end.

    Args:
        parts: Rows of each group in the batch, and its outputs.
        kind: Field of the outputs.
        lengths: Points of the batch on each level.
    """
    order = [row for rows, _ in parts for row in rows]
    places = sorted(range(len(order)), key=order.__getitem__)
    levels = []
    for level, length in enumerate(lengths):
        tensors = [getattr(outputs, kind)[level] for _, outputs in parts]
        padded = [F.pad(x, (0, length - x.shape[-1])) for x in tensors]
        levels.append(torch.cat(padded)[places])
    return tuple(levels)
