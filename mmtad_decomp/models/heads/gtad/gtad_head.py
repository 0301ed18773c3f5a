"""G-TAD as a detection head: graph convolutions, score maps, start and end scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS, TASK_UTILS
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmtad_decomp.structures import ScoreMapOutputs, valid_pairs
from mmtad_decomp.utils.compilation import outside_of_graphs

from ...layers import GCNeXtBlock
from ...losses.elementwise_loss import ElementwiseLoss
from ...losses.reduction import batch_divisor
from ...task_modules import ScoreMapTargets
from ..candidate_head import CandidateHead
from .branches import NodeBranch, pairs_between_peaks


@MODELS.register_module()
class GTADHead(CandidateHead):
    """Scores of every (start, duration) pair on graphs of time steps (Xu et al., CVPR 2020).

    Every pair of a start and a duration of 1 to D steps gets a class score and an estimate of
    its tIoU; a candidate's score is their product. Start and end scores of steps are trained
    beside them; ``peak_ratio`` lets them choose between candidates. The defaults are G-TAD's for
    THUMOS'14.

    With ``num_classes=1`` the candidates are class-agnostic proposals, whatever labels the
    ground truth has, and an external classifier of videos names them (G-TAD's way). With more
    classes each has a class map of its own over one map of tIoUs, and the class maps learn by
    focal loss (our choice): where positives and negatives weigh the same, the classes that a
    pair might have all score near 1.

    G-TAD's releases differ in the weights of the map losses: classification 10 and regression 1
    for THUMOS'14, 1 and 10 for ActivityNet. They are the ``loss_weight`` of both losses.

    Args:
        num_classes: K; 1 for proposals without classes.
        in_channels: Channels of the features.
        max_duration: D in feature steps.
        channels: Width of the graph convolutions.
        embed_groups: Groups of the first convolution.
        graph: Further arguments of :class:`GCNeXtBlock`.
        map_branch: Config of the branch over pairs, without channels and durations.
        target_generator: Config of the targets.
        loss_cls: Config of the class maps' loss. Its type is ``BalancedBCELoss`` by default with
            one class, with G-TAD's ``extra_count`` of 10 for THUMOS'14 (0 for ActivityNet), and
            ``SigmoidFocalLoss`` with more.
        prior_prob: Probability that the biases give every class at first, where there are more
            than one.
        loss_reg: Config of the tIoU map's loss.
        loss_node: Config of the loss of starts and ends.
        positive_iou: A pair is positive above this tIoU.
        best_iou: The best pair of an instance is positive above this tIoU. None: above
            ``positive_iou`` like all pairs, as in G-TAD's releases; instances of a few steps then
            have no positive pair unless their boundaries are near those of steps.
        positive_node: A step is positive above this share within a boundary's surroundings.
        peak_ratio: Candidates begin and end at peaks of the start and end scores, see
            :func:`.branches.pairs_between_peaks`: 0.5 in G-TAD's release for ActivityNet. None:
            at any step, as in that for THUMOS'14.
        **kwargs: Arguments of :class:`CandidateHead`: ``score_thr``, ``nms_pre``.

    Raises:
        ValueError: If the groups do not divide the channels.
    """

    title = 'G-TAD'

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        max_duration: int = 64,
        channels: int = 256,
        embed_groups: int = 4,
        graph: dict | None = None,
        map_branch: dict | None = None,
        target_generator: dict | None = None,
        loss_cls: dict | None = None,
        loss_reg: dict | None = None,
        loss_node: dict | None = None,
        prior_prob: float = 0.01,
        positive_iou: float = 0.9,
        best_iou: float | None = 0.5,
        positive_node: float = 0.5,
        peak_ratio: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_classes, in_channels, **kwargs)
        if in_channels % embed_groups or channels % embed_groups:
            raise ValueError(
                f'GTADHead: embed_groups={embed_groups} must divide in_channels={in_channels} and '
                f'channels={channels}'
            )
        self.max_duration = max_duration
        self.positive_iou = positive_iou
        self.best_iou = best_iou
        self.positive_node = positive_node
        self.peak_ratio = peak_ratio

        graph = graph or {}
        self.embed = nn.Conv1d(in_channels, channels, 3, padding=1, groups=embed_groups)
        self.base_block = GCNeXtBlock(channels, **graph)
        self.start_branch = NodeBranch(channels, graph)
        self.end_branch = NodeBranch(channels, graph)
        self.map_block = GCNeXtBlock(channels, **graph)
        sizes = dict(in_channels=channels, out_channels=1 + num_classes, max_duration=max_duration)
        self.map_branch = MODELS.build({'type': 'ScoreMapBranch', **(map_branch or {}), **sizes})
        if num_classes > 1:
            logit = math.log(prior_prob / (1 - prior_prob))
            nn.init.constant_(self.map_branch.predictor.bias[1:], logit)
        self.target_generator = TASK_UTILS.build(
            {
                'type': 'ScoreMapTargetGenerator',
                **(target_generator or {}),
                'max_duration': max_duration,
            }
        )
        loss: dict[str, Any] = {'type': 'SigmoidFocalLoss', 'loss_weight': 10.0}
        if num_classes == 1:
            loss |= {'type': 'BalancedBCELoss', 'extra_count': 10.0}
        self.loss_cls = MODELS.build({**loss, **(loss_cls or {})})
        self.loss_reg = MODELS.build({'type': 'ScoreMapRegressionLoss', **(loss_reg or {})})
        self.loss_node = MODELS.build({'type': 'BalancedBCELoss', **(loss_node or {})})

    def forward(self, feats: Tensor, masks: Tensor) -> ScoreMapOutputs:
        """Score all steps and all pairs.

        Args:
            feats: ``(N, in_channels, T)``, any T; what padded steps hold does not matter.
            masks: ``(N, T)`` bool, True at the first L steps of a sample.

        Returns:
            Logits; those of padded steps and of pairs that reach beyond step L mean nothing.

        Raises:
            ValueError: If the features have not ``in_channels`` channels.
        """
        self.check_channels(feats)
        feats = F.relu(self.embed(feats.masked_fill(~masks[:, None], 0)))
        base = self.base_block(feats * masks[:, None], masks)
        maps = self.map_branch(self.map_block(base, masks), masks)
        return ScoreMapOutputs(
            cls_logits=maps[:, 1:],
            reg_logits=maps[:, 0],
            start_logits=self.start_branch(base, masks),
            end_logits=self.end_branch(base, masks),
            masks=masks,
        )

    @outside_of_graphs
    def targets(self, outputs: ScoreMapOutputs, gt: Sequence[InstanceData]) -> ScoreMapTargets:
        """Targets of all pairs and steps; see :class:`ScoreMapTargetGenerator`."""
        return self.target_generator(outputs.masks, gt, self.num_classes)

    def loss_by_feat(
        self, outputs: ScoreMapOutputs, gt: Sequence[InstanceData]
    ) -> dict[str, Tensor]:
        """Losses of the maps over valid pairs, and of starts and ends over valid steps.

        Args:
            outputs: Result of :meth:`forward`.
            gt: Per sample ``segments`` (G, 2) in feature steps and ``labels`` (G,).

        Returns:
            ``loss_cls``, ``loss_reg`` and ``loss_node``, scalars.
        """
        # tIoU of pairs with each class (N, K, D, T), and starts and ends (N, T).
        targets = self.targets(outputs, gt)
        pairs = valid_pairs(outputs.masks, self.max_duration)
        matches = targets.ious > self.positive_iou
        if self.best_iou is not None:
            matches |= targets.best & (targets.ious > self.best_iou)
        # Starts and ends are classified step by step: (N, T).
        nodes = [
            self.loss_node(logits, target > self.positive_node, outputs.masks)
            for logits, target in (
                (outputs.start_logits, targets.starts),
                (outputs.end_logits, targets.ends),
            )
        ]
        return dict(
            loss_cls=self._class_loss(outputs.cls_logits, matches, pairs[:, None]),
            loss_reg=self.loss_reg(outputs.reg_logits, targets.ious.amax(dim=1), pairs),
            loss_node=sum(nodes),
        )

    def _class_loss(self, logits: Tensor, matches: Tensor, pairs: Tensor) -> Tensor:
        """Balanced over all pairs and classes, or divided by the number of positives."""
        if not isinstance(self.loss_cls, ElementwiseLoss):
            return self.loss_cls(logits, matches, pairs)
        positives = batch_divisor((matches & pairs).sum())
        return self.loss_cls(logits, matches, weight=pairs, avg_factor=positives)

    @torch.no_grad()
    def predict_by_feat(self, outputs: ScoreMapOutputs) -> list[InstanceData]:
        """The ``nms_pre`` best valid pairs of all classes that score above ``score_thr``.

        With ``peak_ratio``, pairs between peaks alone.

        Args:
            outputs: Result of :meth:`forward`.

        Returns:
            Per sample ``segments`` (M, 2) in feature steps, ``scores`` (M,) and ``labels`` (M,),
            by falling score. Labels are 0 where there is one class.
        """
        scores, segments = self.dense_predictions(outputs).values()
        pairs = segments.shape[0] * segments.shape[1]
        results = []
        for sample in scores.flatten(1):
            best, index = self.choose(sample)
            found = segments.flatten(0, 1)[index % pairs]
            results.append(InstanceData(segments=found, scores=best, labels=index // pairs))
        return results

    def dense_predictions(self, outputs: ScoreMapOutputs) -> dict[str, Tensor]:
        """``scores`` ``(N, K, D, T)`` and ``segments`` ``(D, T, 2)`` of all pairs."""
        pairs = valid_pairs(outputs.masks, self.max_duration)
        if self.peak_ratio is not None:
            starts = outputs.start_logits.float().sigmoid()
            ends = outputs.end_logits.float().sigmoid()
            pairs &= pairs_between_peaks(
                starts, ends, outputs.masks, self.max_duration, self.peak_ratio
            )
        scores = outputs.cls_logits.float().sigmoid()
        scores = scores * outputs.reg_logits.float().sigmoid()[:, None] * pairs[:, None]
        start = torch.arange(outputs.masks.shape[1], device=scores.device) - 0.5
        duration = torch.arange(self.max_duration, device=scores.device)[:, None]
        start = start.expand(self.max_duration, -1)
        return dict(scores=scores, segments=torch.stack((start, start + duration + 1), dim=-1))
