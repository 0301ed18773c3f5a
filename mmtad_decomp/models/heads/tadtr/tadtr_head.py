"""TadTR as a detection head: queries matched one to one with the ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmaction.registry import MODELS, TASK_UTILS
from mmengine.structures import InstanceData
from torch import Tensor

from mmtad_decomp.structures import (
    QueryOutputs,
    center_width_to_offsets,
    center_width_to_start_end,
    pairwise_tiou,
    start_end_to_center_width,
)
from mmtad_decomp.utils.compilation import outside_of_graphs

from ...losses.reduction import batch_divisor
from ..temporal_head import ExportedLengths, TemporalHead
from .tadtr_decoder import ActionnessBranch, TadTRDecoder
from .tadtr_encoder import TadTREncoder


@MODELS.register_module()
class TadTRHead(TemporalHead):
    """Set prediction with temporal deformable attention (Liu et al., "TadTR", TIP 2022).

    Every default is TadTR's for THUMOS'14. Nothing here needs compiled operators.

    Losses are those of TadTR, on the outputs of every decoder layer, each layer matched by
    itself: focal loss of all queries, and of the matched ones L1 of centre and width and
    ``1 - IoU``, all divided by the number of segments in the batch; and, of the last layer, the
    L1 distance of the actionness to the best IoU with the window's own ground truth.

    Args:
        num_classes: K.
        in_channels: Channels of the features.
        embed_dims: Width of encoder and decoder.
        num_queries: Queries, the most segments that a window can have.
        num_encoder_layers: Layers of the encoder.
        num_decoder_layers: Layers of the decoder.
        hidden_dims: Width of the feed-forward networks.
        num_heads: Attention heads.
        num_levels: Levels of the features; each further one has half the steps. TadTR has one.
        num_points: Sampled positions per head and level.
        num_groups: Groups of the normalisation after the input's projection.
        dropout: Dropout rate.
        prior_prob: Probability that the classifiers' biases give every class at first.
        with_actionness: Predict the actionness, and multiply scores by it.
        roi_bins: Bins of the RoIAlign before the actionness.
        roi_scale: Factor by which a segment is widened for it.
        roi_aligned: Take a step's feature at the step's middle; TadTR takes it at its left edge.
        assigner: Config of the assigner.
        loss_cls: Config of the loss of class logits.
        loss_iou: Config of the overlap loss of matched segments.
        l1_weight: Weight of the L1 loss of matched segments.
        actionness_weight: Weight of the loss of the actionness.
        max_candidates: Candidates per window, the best over queries and classes together.

    Raises:
        ValueError: If widths, heads and groups do not go together.
    """

    title = 'TadTR'

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        embed_dims: int = 256,
        num_queries: int = 40,
        num_encoder_layers: int = 4,
        num_decoder_layers: int = 4,
        hidden_dims: int = 1024,
        num_heads: int = 8,
        num_levels: int = 1,
        num_points: int = 4,
        num_groups: int = 32,
        dropout: float = 0.1,
        prior_prob: float = 0.01,
        with_actionness: bool = True,
        roi_bins: int = 16,
        roi_scale: float = 1.5,
        roi_aligned: bool = False,
        assigner: dict | None = None,
        loss_cls: dict | None = None,
        loss_iou: dict | None = None,
        l1_weight: float = 5.0,
        actionness_weight: float = 4.0,
        max_candidates: int = 100,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(num_classes, in_channels, init_cfg=init_cfg)
        _check_divides(embed_dims, num_heads=num_heads, num_groups=num_groups)
        _check_positive(
            num_levels=num_levels, num_decoder_layers=num_decoder_layers, num_queries=num_queries
        )
        self.l1_weight = l1_weight
        self.actionness_weight = actionness_weight
        self.max_candidates = max_candidates
        attention: dict[str, Any] = dict(
            hidden_dims=hidden_dims,
            num_heads=num_heads,
            num_levels=num_levels,
            num_points=num_points,
            dropout=dropout,
        )
        self.encoder = TadTREncoder(
            in_channels, embed_dims, num_encoder_layers, num_groups=num_groups, **attention
        )
        self.decoder = TadTRDecoder(
            embed_dims, num_decoder_layers, num_queries, num_classes, prior_prob, **attention
        )
        self.actionness = None
        if with_actionness:
            self.actionness = ActionnessBranch(embed_dims, roi_bins, roi_scale, roi_aligned)
        self.assigner = TASK_UTILS.build({'type': 'HungarianAssigner', **(assigner or {})})
        self.loss_cls = MODELS.build(
            {'type': 'SigmoidFocalLoss', 'loss_weight': 2.0, **(loss_cls or {})}
        )
        self.loss_iou = MODELS.build(
            {'type': 'SegmentIoULoss', 'loss_weight': 2.0, **(loss_iou or {})}
        )

    def forward(self, feats: Tensor, masks: Tensor) -> QueryOutputs:
        """Predict a set of segments.

        Args:
            feats: ``(N, in_channels, T)``; what padded steps hold does not matter.
            masks: ``(N, T)`` bool, True = valid; the valid steps come first.

        Raises:
            ValueError: If the features have another number of channels.
        """
        self.check_channels(feats)
        memory = self.encoder(feats.masked_fill(~masks[:, None], 0), masks)
        cls_logits, segments = self.decoder(memory)
        actionness = None
        if self.actionness is not None:
            actionness = self.actionness(memory, segments[-1])
        return QueryOutputs(cls_logits, segments, actionness, memory.lengths[:, 0])

    @outside_of_graphs
    def targets(
        self, outputs: QueryOutputs, gt: Sequence[InstanceData]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Ground truth as the outputs have it.

        Args:
            outputs: Outputs of the windows.
            gt: Per window ``segments`` (G, 2) in feature steps and ``labels`` (G,).

        Returns:
            Per window labels ``(G',)`` and segments ``(G', 2)``, centres and widths as shares of
            the valid length. Segments are cut to the window; what lies outside is left out.
        """
        labels, segments = [], []
        for sample, length in zip(gt, outputs.lengths):
            edges = (sample.segments.to(outputs.segments) + 0.5) / length.clamp(min=1)
            edges = edges.clamp(0, 1) * (length > 0)
            kept = edges[:, 1] > edges[:, 0]
            labels.append(sample.labels.to(edges.device)[kept])
            segments.append(start_end_to_center_width(edges[kept]))
        return labels, segments

    def loss_by_feat(self, outputs: QueryOutputs, gt: Sequence[InstanceData]) -> dict[str, Tensor]:
        """Losses of all layers.

        Args:
            outputs: Result of :meth:`forward`.
            gt: Per window ``segments`` (G, 2) in feature steps and ``labels`` (G,).

        Returns:
            ``loss_cls``, ``loss_l1``, ``loss_iou`` of the last layer, ``loss_actionness``, and
            ``loss_aux_cls``, ``loss_aux_l1``, ``loss_aux_iou``, summed over the layers before;
            float32 scalars.
        """
        # Per window (G,) labels and (G, 2) centres and widths, as shares of the window.
        labels, segments = self.targets(outputs, gt)
        matches = self.assigner.assign(outputs.cls_logits, outputs.segments, labels, segments)
        all_labels, all_segments = torch.cat(labels), torch.cat(segments)
        count = batch_divisor(len(all_labels))
        # (L, N, Q, K): 1 at the class of each matched query, in each of the L layers.
        goal = torch.zeros_like(outputs.cls_logits, dtype=torch.float32)
        place = (matches.layers, matches.samples, matches.queries)
        at = (*place, all_labels[matches.targets])
        goal[at] = 1
        # (M, 2): the predicted and the true segment of each match.
        matched, wanted = outputs.segments[place], all_segments[matches.targets]

        losses: dict[str, Tensor] = {}
        last = len(outputs.cls_logits) - 1
        valid = outputs.lengths > 0
        for name, layers, rows in (
            ('loss_', slice(last, None), matches.layers == last),
            ('loss_aux_', slice(0, last), matches.layers < last),
        ):
            if layers == slice(0, 0):
                continue
            # Windows without valid steps count nowhere.
            logits = outputs.cls_logits[layers][:, valid]
            found, true = matched[rows], wanted[rows]
            losses[name + 'cls'] = self.loss_cls(logits, goal[layers][:, valid], avg_factor=count)
            losses[name + 'l1'] = self.l1_weight * (found - true).abs().sum() / count
            losses[name + 'iou'] = self.loss_iou(
                center_width_to_offsets(found), center_width_to_offsets(true), avg_factor=count
            )
        if outputs.actionness is not None:
            losses['loss_actionness'] = self._actionness_loss(outputs, segments, valid)
        return losses

    def _actionness_loss(
        self, outputs: QueryOutputs, segments: Sequence[Tensor], valid: Tensor
    ) -> Tensor:
        """L1 distance to the best IoU with the own window's ground truth, 0 where it has none."""
        best = torch.zeros_like(outputs.actionness)
        with torch.no_grad():
            for n, own in enumerate(segments):
                if len(own):
                    predicted = center_width_to_start_end(outputs.segments[-1, n])
                    ious = pairwise_tiou(predicted, center_width_to_start_end(own))
                    best[n] = ious.amax(dim=1)
        errors = (outputs.actionness - best).abs()[valid]
        return self.actionness_weight * errors.sum() / batch_divisor(errors.numel())

    @torch.no_grad()
    def predict_by_feat(self, outputs: QueryOutputs) -> list[InstanceData]:
        """The ``max_candidates`` best pairs of query and class, by falling score.

        Args:
            outputs: Result of :meth:`forward`.

        Returns:
            Per window ``segments`` (M, 2) in feature steps, ``scores`` (M,): probability of the
            class times actionness, and ``labels`` (M,); nothing where no step is valid.
        """
        scores, segments = self.dense_predictions(outputs).values()
        queries = scores.shape[2]
        scores, index = scores.flatten(1).topk(min(self.max_candidates, scores[0].numel()))
        results = []
        for n, length in enumerate(outputs.lengths):
            kept = slice(None) if length > 0 else slice(0)
            results.append(
                InstanceData(
                    segments=segments[n, index[n, kept] % queries],
                    scores=scores[n, kept],
                    labels=index[n, kept] // queries,
                )
            )
        return results

    def dense_predictions(self, outputs: QueryOutputs) -> dict[str, Tensor]:
        """``scores`` ``(N, K, Q)`` and ``segments`` ``(N, Q, 2)`` of all queries."""
        scores = outputs.cls_logits[-1].float().sigmoid()
        if outputs.actionness is not None:
            scores = scores * outputs.actionness[..., None]
        scores = scores * (outputs.lengths > 0)[:, None, None]
        edges = center_width_to_start_end(outputs.segments[-1])
        segments = edges * outputs.lengths[:, None, None] - 0.5
        return dict(scores=scores.transpose(1, 2), segments=segments)

    def exported_lengths(self) -> ExportedLengths:
        """Multiples of the coarsest level's stride."""
        return ExportedLengths(2 ** (len(self.encoder.projections) - 1))


def _check_divides(embed_dims: int, **divisors: int) -> None:
    for name, divisor in divisors.items():
        if embed_dims % divisor:
            raise ValueError(
                f'TadTRHead: embed_dims must be a multiple of {name}, got {embed_dims} and '
                f'{divisor}'
            )
    if embed_dims % 2:
        raise ValueError(
            f'TadTRHead: embed_dims must be even, for positions are sines and cosines, got '
            f'{embed_dims}'
        )


def _check_positive(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f'TadTRHead: {name} must be at least 1, got {number}')
