"""AFSD as a detection head: coarse segments, refined by what lies around their boundaries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor

from mmtad_decomp.structures import AFSDOutputs, BoundaryFeatures, PointOutputs, TADDataSample

from ...layers import MAX_EXPORTED_STEPS, boundary_max_pool
from ...losses.reduction import batch_divisor
from ...losses.segment_iou_loss import segment_iou_loss
from ...task_modules import Points, boundary_targets
from ..point_head import PointHead, all_points
from ..temporal_head import ExportedLengths, ExtraBatch
from .afsd_pyramid import AFSDPyramid, Pyramid
from .background_insertion import cut_windows
from .branches import OffsetPredictor, Predictor, Refined, RefinementBranch, Tower


@MODELS.register_module()
class AFSDHead(PointHead):
    """Anchor-free detection in two stages (Lin et al., "AFSD", CVPR 2021).

    Every point of a temporal pyramid predicts classes and its distances to a start and an end.
    Features are then pooled around both boundaries of that coarse segment, from the point's level
    and from features with the finest steps, and give refined classes, a correction of the
    boundaries and an estimate of the refined segment's tIoU. A candidate's score is the mean of
    the coarse and the refined class score times that estimate.

    The defaults are AFSD's for THUMOS'14 on features whose steps are its frames (256 per window,
    10 per second): levels with strides 4 to 128. On features of stride 4, ``first_stride=1`` and
    ``fine_scale=4`` are AFSD's sizes.

    Args:
        num_classes: K.
        in_channels: D, channels of the features.
        channels: Width of the head, an even multiple of ``num_groups``.
        num_levels: Levels of the pyramid.
        first_stride: Stride of the first level in feature steps, a power of two.
        fine_scale: Steps of the finest features per feature step.
        num_groups: Groups of the norms.
        inner: Share of a segment's length that is pooled inside of its boundaries.
        outer: Share that is pooled outside of them.
        prior_prob: Probability that the classifiers' biases give every class at first.
        refine_iou: Points whose coarse segment reaches this tIoU learn to refine it.
        point_generator: Config of the points; by default every level regresses any distance.
        assigner: Config of the assigner; by default all points inside a segment are positive.
        loss_reg: Config of the loss of coarse offsets.
        refine_weight: Weight of the L1 loss of refined offsets.
        quality_weight: Weight of the cross entropy of the estimated tIoU.
        loss_boundary: Config of the loss of boundary activations (activation guided learning);
            ``dict(loss_weight=0.0)`` switches it off.
        branch_boundary_weight: Share of the branches' activations in that loss.
        loss_contrast: Config of a :class:`~mmtad_decomp.models.losses.BoundaryContrastiveLoss`
            (boundary contrastive learning); None leaves it out. The detector then runs on a
            second, cut copy of the training windows.
        contrast_background: Seconds of background that cut an instance of that copy.
        **kwargs: Other arguments of :class:`PointHead`: ``loss_cls`` of the coarse and the refined
            class logits, ``score_thr``, ``nms_pre``, ``min_length``.

    Raises:
        ValueError: If ``contrast_background`` is not positive.
    """

    title = 'AFSD'

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        channels: int = 512,
        num_levels: int = 6,
        first_stride: int = 4,
        fine_scale: int = 1,
        num_groups: int = 32,
        inner: float = 1 / 4,
        outer: float = 1 / 10,
        prior_prob: float = 0.01,
        refine_iou: float = 0.5,
        point_generator: dict | None = None,
        assigner: dict | None = None,
        loss_reg: dict | None = None,
        refine_weight: float = 10.0,
        quality_weight: float = 1.0,
        loss_boundary: dict | None = None,
        branch_boundary_weight: float = 0.1,
        loss_contrast: dict | None = None,
        contrast_background: float = 1.0,
        **kwargs: Any,
    ) -> None:
        if contrast_background <= 0:
            raise ValueError(
                f'contrast_background must be more than 0 seconds, got {contrast_background}'
            )
        pyramid = AFSDPyramid(
            in_channels, channels, num_levels, first_stride, fine_scale, num_groups
        )
        whole = [(0, float('inf'))] * num_levels
        super().__init__(
            num_classes,
            in_channels,
            pyramid.strides,
            point_generator={'regress_ranges': whole, **(point_generator or {})},
            assigner={'radius': None, **(assigner or {})},
            loss_reg={'type': 'SegmentGIoULoss', 'loss_weight': 10.0, **(loss_reg or {})},
            **kwargs,
        )
        self.fine_scale = fine_scale
        self.neighborhood = (inner, outer)
        self.refine_iou = refine_iou
        self.refine_weight = refine_weight
        self.quality_weight = quality_weight
        self.branch_boundary_weight = branch_boundary_weight
        self.contrast_background = contrast_background

        self.pyramid = pyramid
        self.box_tower = Tower(channels, (3, 3), num_groups)
        self.cls_tower = Tower(channels, (3, 3), num_groups)
        self.offsets = OffsetPredictor(channels, num_levels)
        self.classifier = Predictor(channels, num_classes, 3, prior_prob)
        self.box_refinement = RefinementBranch(channels, num_groups, inner, outer)
        self.cls_refinement = RefinementBranch(channels, num_groups, inner, outer)
        self.refined_offsets = Predictor(channels, 2, 1)
        self.refined_classifier = Predictor(channels, num_classes, 1, prior_prob)
        self.quality = Predictor(channels, 1, 3)

        self.loss_boundary = MODELS.build(
            {'type': 'BoundaryActivationLoss', **(loss_boundary or {})}
        )
        self.loss_contrast = None if loss_contrast is None else MODELS.build(loss_contrast)

    def forward(self, feats: Tensor, masks: Tensor) -> AFSDOutputs:
        """Predict at every point, coarsely and refined; see :meth:`.PointHead.forward`."""
        self.check_channels(feats)
        pyramid = self.pyramid(feats.masked_fill(~masks[:, None], 0), masks)
        level_masks = pyramid.level_masks
        points = self.point_generator([mask.shape[1] for mask in level_masks], feats.device)
        # Per level (N, D, T_l): one tower for offsets, one for classes.
        boxes = [self.box_tower(x, mask) for x, mask in zip(pyramid.levels, level_masks)]
        classes = [self.cls_tower(x, mask) for x, mask in zip(pyramid.levels, level_masks)]
        coarse = PointOutputs(
            tuple(self.classifier(x, mask) for x, mask in zip(classes, level_masks)),
            tuple(self.offsets(x, m, i) for i, (x, m) in enumerate(zip(boxes, level_masks))),
            level_masks,
        )
        # Refinement reads features around the coarse boundaries; the levels' lengths stay.
        boxes, classes = self._look_at_boundaries(pyramid, points, coarse, boxes, classes)
        refined = PointOutputs(
            tuple(self.refined_classifier(x.feats, m) for x, m in zip(classes, level_masks)),
            tuple(
                _correct(offsets.detach(), self.refined_offsets(x.feats, mask))
                for offsets, x, mask in zip(coarse.offsets, boxes, level_masks)
            ),
            level_masks,
        )
        quality = tuple(self.quality(x.feats, m).squeeze(1) for x, m in zip(boxes, level_masks))
        # Features that the boundary loss and the contrast read: the finest, and those of level 1.
        first = (level_masks[0], self.pyramid.strides[0], 0.0)
        boundaries = (
            self._fine_features(pyramid),
            BoundaryFeatures(boxes[0].boundary_feats, *first),
            BoundaryFeatures(classes[0].boundary_feats, *first),
        )
        return AFSDOutputs(coarse, refined, quality, boundaries)

    def _fine_features(self, pyramid: Pyramid) -> BoundaryFeatures:
        stride = 1 / self.fine_scale
        return BoundaryFeatures(pyramid.fine, pyramid.fine_masks, stride, (stride - 1) / 2)

    def _look_at_boundaries(
        self,
        pyramid: Pyramid,
        points: Sequence[Points],
        coarse: PointOutputs,
        boxes: Sequence[Tensor],
        classes: Sequence[Tensor],
    ) -> tuple[list[Refined], list[Refined]]:
        """Features of both branches and all levels, merged with those around the boundaries."""
        segments = [_segments(offsets, level) for offsets, level in zip(coarse.offsets, points)]
        pooled = self._pool(self._fine_features(pyramid), torch.cat(segments, dim=1))
        pooled = pooled.split([x.shape[2] for x in pyramid.levels], dim=2)
        inputs = [
            (mask, segment / level.strides[:, None], maxima)
            for mask, segment, level, maxima in zip(coarse.masks, segments, points, pooled)
        ]
        return (
            [self.box_refinement(x, *around) for x, around in zip(boxes, inputs)],
            [self.cls_refinement(x, *around) for x, around in zip(classes, inputs)],
        )

    def _pool(self, boundary: BoundaryFeatures, segments: Tensor) -> Tensor:
        segments = boundary.to_own_steps(segments)
        return boundary_max_pool(boundary.feats, segments, boundary.masks, *self.neighborhood)

    def pool_boundaries(self, outputs: AFSDOutputs, segments: Tensor) -> list[Tensor]:
        """Boundary features around given segments, as the refinement pools them.

        Args:
            outputs: Result of :meth:`forward`.
            segments: ``(N, P, 2)`` in feature steps.

        Returns:
            ``(N, C, P)`` for each of ``outputs.boundaries``, the first half of the channels
            pooled around starts, the second around ends.
        """
        return [self._pool(boundary, segments) for boundary in outputs.boundaries]

    def loss_by_feat(self, outputs: AFSDOutputs, gt: Sequence[InstanceData]) -> dict[str, Tensor]:
        """Losses of coarse and refined predictions, of the quality and of the activations.

        Classes count at all valid points. A point inside an instance is positive; where its coarse
        segment reaches ``refine_iou`` it is a positive of the refinement too. The corrections are
        compared in halves of the coarse length. Sums are divided by the number of positives,
        those of refined classes and offsets by that of their own.

        Args:
            outputs: Result of :meth:`forward`.
            gt: Per sample ``segments`` (G, 2) in feature steps and ``labels`` (G,).

        Returns:
            Scalars by name.
        """
        # Targets (N, P, K) and (N, P, 2) over the P points of all levels; offsets in strides.
        labels, offsets = self.targets(outputs, gt)
        valid = torch.cat(outputs.masks, dim=1)
        positive = valid & (labels.sum(-1) > 0)
        # (N, P, 2). A coarse segment that fits well enough is a positive of the refinement.
        coarse, refined = all_points(outputs.coarse.offsets), all_points(outputs.refined.offsets)
        fits = 1 - segment_iou_loss(coarse.detach(), offsets) >= self.refine_iou
        near = positive & fits
        count, near_count = batch_divisor(positive.sum()), batch_divisor(near.sum())
        # (N, P, K)
        coarse_logits = all_points(outputs.coarse.cls_logits)
        refined_logits = all_points(outputs.refined.cls_logits)
        near_labels = labels * near[..., None]
        # (M', 1) half lengths of the coarse segments of the M' refined positives.
        half = 0.5 * coarse[near].detach().sum(-1, keepdim=True).clamp(min=1e-6)
        # (M,) estimates and true IoUs of the refined segments of the M positives.
        quality = torch.cat(outputs.quality, dim=1)[positive]
        ious = 1 - segment_iou_loss(refined[positive].detach(), offsets[positive])
        entropy = F.binary_cross_entropy_with_logits(quality, ious.to(quality), reduction='sum')
        return dict(
            loss_coarse_cls=self.loss_cls(coarse_logits[valid], labels[valid], avg_factor=count),
            loss_coarse_reg=self.loss_reg(coarse[positive], offsets[positive], avg_factor=count),
            loss_refined_cls=self.loss_cls(
                refined_logits[valid], near_labels[valid], avg_factor=near_count
            ),
            loss_refined_reg=self.refine_weight
            * ((refined - offsets)[near] / half).abs().sum()
            / near_count,
            loss_quality=self.quality_weight * entropy / count,
            loss_boundary=self._boundary_loss(outputs.boundaries, gt),
        )

    def _boundary_loss(
        self, boundaries: Sequence[BoundaryFeatures], gt: Sequence[InstanceData]
    ) -> Tensor:
        """Loss of the activations of the finest features and a share of that of the branches."""
        width = 2 / self.fine_scale
        fine, *branches = (
            self.loss_boundary(
                part.activations(),
                boundary_targets(part.positions, gt, min_width=width),
                part.masks,
            )
            for part in boundaries
        )
        return fine + self.branch_boundary_weight * sum(branches)

    def extra_batch(
        self, inputs: Tensor, masks: Tensor, data_samples: Sequence[TADDataSample]
    ) -> ExtraBatch | None:
        """Copies of the windows in which background cuts an instance in two.

        None without ``loss_contrast``. See :meth:`.TemporalHead.extra_batch`.
        """
        if self.loss_contrast is None:
            return None
        return cut_windows(inputs, masks, data_samples, self.contrast_background)

    def extra_loss(
        self, outputs: AFSDOutputs | None, gt: Sequence[InstanceData]
    ) -> dict[str, Tensor]:
        """``loss_contrast`` of the cut windows, 0 where no window could be cut.

        Args:
            outputs: Result of :meth:`forward` for the cut windows. See
                :meth:`.TemporalHead.extra_loss` for what it is where there are none.
            gt: Per window ``segments`` (3, 2) in feature steps: the two parts of the instance
                and the background between them.
        """
        assert self.loss_contrast is not None  # else there is no extra batch
        if outputs is None:
            return dict(loss_contrast=next(self.parameters()).new_zeros(()))
        parts = [window.segments for window in gt] or [torch.zeros(3, 2)]
        segments = torch.stack(parts).to(outputs.quality[0].device)
        pooled = self.pool_boundaries(outputs, segments)
        return dict(loss_contrast=self.loss_contrast(pooled, counted=bool(gt)))

    def scores_and_offsets(self, outputs: AFSDOutputs) -> tuple[list[Tensor], list[Tensor]]:
        """Scores, and refined offsets, cut to the valid part of the window."""
        levels = zip(
            outputs.coarse.cls_logits, outputs.refined.cls_logits, outputs.quality, outputs.masks
        )
        scores = [
            0.5
            * (coarse.float().sigmoid() + refined.float().sigmoid())
            * (quality.float().sigmoid() * mask)[:, None]
            for coarse, refined, quality, mask in levels
        ]
        fine_masks = outputs.boundaries[0].masks
        counts = torch.arange(1, 1 + fine_masks.shape[1], device=fine_masks.device) * fine_masks
        ends = counts.amax(dim=1) / self.fine_scale - 0.5
        points = self.points(outputs)
        return scores, [
            _within_window(offset, level, ends)
            for offset, level in zip(outputs.refined.offsets, points)
        ]

    def exported_lengths(self) -> ExportedLengths:
        """Those of its levels, up to what the table of the boundary pooling is for."""
        return ExportedLengths(self.pyramid.strides[-1], MAX_EXPORTED_STEPS // self.fine_scale)


def _segments(offsets: Tensor, points: Points) -> Tensor:
    """``(N, 2, T)`` offsets in strides to ``(N, T, 2)`` segments in feature steps, detached."""
    reach = offsets.detach() * points.strides
    return torch.stack((points.positions - reach[:, 0], points.positions + reach[:, 1]), dim=-1)


def _correct(offsets: Tensor, correction: Tensor) -> Tensor:
    """Offsets ``(N, 2, T)``, moved by a correction in halves of the segment's length."""
    return offsets + 0.5 * offsets.sum(dim=1, keepdim=True) * correction


def _within_window(offsets: Tensor, points: Points, ends: Tensor) -> Tensor:
    """Offsets ``(N, 2, T)`` that reach from -0.5 to ``ends`` (N,) at most, in feature steps."""
    left = (points.positions + 0.5).expand(ends.shape[0], -1)
    right = ends[:, None] - points.positions
    return offsets.minimum(torch.stack((left, right), dim=1) / points.strides)
