"""TAGS as a detection head: every snippet's classes, and the mask of its instance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmtad_decomp.structures import IMPOSSIBLE, MaskOutputs
from mmtad_decomp.utils.compilation import outside_of_graphs

from ...layers import MaskedConv1d, MaskedLayerNorm, TransformerBlock
from ...losses.reduction import batch_divisor
from ...task_modules import MaskTargets, mask_targets
from ..candidate_head import CandidateHead
from ..point_branches import ClassificationBranch
from ..temporal_head import ExportedLengths
from .global_mask_branch import GlobalMaskBranch, class_log_odds
from .mask_candidates import mask_candidates


@MODELS.register_module()
class TAGSHead(CandidateHead):
    """Global segmentation masks (Nag et al., ECCV 2022): no anchors, no proposals, no regression.

    A transformer over the whole sequence embeds the snippets (feature steps). From each embedding
    one branch tells the snippet's classes, the other which steps make up the instance that it
    belongs to. Masks cut at several thresholds give the candidates.

    Classes are independent by default (our choice), since THUMOS'14 has instances of two classes
    at once. With ``background`` they exclude each other and a background class is added, with the
    focal cross entropy of the whole batch, as in TAGS. With ``num_classes=1`` the candidates are
    class-agnostic proposals, whatever labels the ground truth has.

    Args:
        num_classes: K; 1 for proposals without classes.
        in_channels: Channels of the features.
        max_steps: The longest sequence in feature steps.
        channels: Width of the embeddings.
        num_layers: Transformer blocks.
        block: Further arguments of :class:`TransformerBlock`.
        mask_branch: Further arguments of :class:`GlobalMaskBranch`.
        background: Whether classes exclude each other and the background is one of them.
        prior_prob: First probability of independent classes.
        loss_cls: Config of the classes' loss.
        loss_mask: Config of the masks' loss over all valid snippets and steps.
        loss_dice: Config of the overlap loss of the masks of snippets within instances.
        loss_boundary: Config of the loss of their boundaries.
        loss_consistency: Config of the loss of the branches' agreement.
        mask_thrs: Masks are cut at these scores.
        num_snippets: Classes of snippets, the best of a window, that make candidates.
        **kwargs: Arguments of :class:`CandidateHead`: ``score_thr``, ``nms_pre``.
    """

    title = 'TAGS'

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        max_steps: int = 256,
        channels: int = 512,
        num_layers: int = 1,
        block: dict | None = None,
        mask_branch: dict | None = None,
        background: bool = False,
        prior_prob: float = 0.01,
        loss_cls: dict | None = None,
        loss_mask: dict | None = None,
        loss_dice: dict | None = None,
        loss_boundary: dict | None = None,
        loss_consistency: dict | None = None,
        mask_thrs: Sequence[float] = (0.0, 0.2, 0.4, 0.6, 0.8),
        num_snippets: int = 1000,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_classes, in_channels, **kwargs)
        self.background = background
        self.mask_thrs = tuple(mask_thrs)
        self.num_snippets = num_snippets

        block = {
            'num_heads': 4,
            'dropout': 0.3,
            'layer_scale': None,
            'mask_norm': True,
            **(block or {}),
        }
        self.embed = MaskedConv1d(in_channels, channels, 3)
        self.blocks = nn.ModuleList(TransformerBlock(channels, **block) for _ in range(num_layers))
        self.norm = MaskedLayerNorm(channels)
        outputs = num_classes + background
        self.cls_branch = ClassificationBranch(
            channels, channels, outputs, prior_prob, num_layers=1, kernel_size=1
        )
        self.mask_branch = GlobalMaskBranch(channels, max_steps, **(mask_branch or {}))

        focal = dict(type='BatchFocalLoss') if background else dict(type='SigmoidFocalLoss')
        self.loss_cls, self.loss_mask, self.loss_dice, self.loss_boundary = (
            MODELS.build({**default, **(config or {})})
            for default, config in (
                (focal, loss_cls),
                (dict(type='BalancedBCELoss', loss_weight=0.4), loss_mask),
                (dict(type='MaskDiceLoss', loss_weight=0.6), loss_dice),
                (dict(type='MaskBoundaryLoss', loss_weight=0.2), loss_boundary),
            )
        )
        self.loss_consistency = MODELS.build(
            {'type': 'BranchConsistencyLoss', 'loss_weight': 0.1, **(loss_consistency or {})}
        )

    def forward(self, feats: Tensor, masks: Tensor) -> MaskOutputs:
        """Classify and segment every snippet.

        Args:
            feats: ``(N, in_channels, T)``; what padded steps hold does not matter.
            masks: ``(N, T)`` bool, True = valid.

        Raises:
            ValueError: If the features have not ``in_channels`` channels, or T is above
                ``max_steps``.
        """
        self.check_channels(feats)
        feats = F.relu(self.embed(feats.masked_fill(~masks[:, None], 0), masks))
        for block in self.blocks:
            feats, _ = block(feats, masks)
        feats = self.norm(feats, masks)
        (classes,) = self.cls_branch([feats], [masks])
        if self.background:
            classes = class_log_odds(classes)
        pairs = masks[:, :, None] & masks[:, None, :]
        return MaskOutputs(
            cls_logits=classes.masked_fill(~masks[:, None], IMPOSSIBLE),
            mask_logits=self.mask_branch(feats, masks).masked_fill(~pairs, IMPOSSIBLE),
            embeddings=feats,
            masks=masks,
        )

    @outside_of_graphs
    def targets(self, outputs: MaskOutputs, gt: Sequence[InstanceData]) -> MaskTargets:
        """Targets of all snippets; see :func:`mask_targets`."""
        return mask_targets(outputs.masks, gt, self.num_classes)

    def loss_by_feat(self, outputs: MaskOutputs, gt: Sequence[InstanceData]) -> dict[str, Tensor]:
        """Losses of classes and masks.

        Args:
            outputs: Result of :meth:`forward`.
            gt: Per sample ``segments`` (G, 2) in feature steps and ``labels`` (G,).

        Returns:
            ``loss_cls`` per positive class of a snippet, ``loss_mask`` over all valid snippets
            and steps, ``loss_dice`` and ``loss_boundary`` of the masks of snippets within
            instances, and ``loss_consistency``; float32 scalars.
        """
        # Classes (N, K, T) and masks (N, T, T) of snippets; row t is the mask of snippet t.
        labels, masks = self.targets(outputs, gt)
        valid = outputs.masks
        if self.background:
            labels = torch.cat((labels, ~labels.any(dim=1, keepdim=True)), dim=1)
        labels = labels & valid[:, None]
        # Only snippets within an instance have a mask to overlap with: (R, T) of (N, T, T).
        scores = outputs.mask_logits.float().sigmoid()
        rows = masks.any(dim=2)
        # The best class score of each snippet and its best score in any mask agree: (N, T).
        classes = outputs.cls_logits[:, : self.num_classes].float().sigmoid()
        return dict(
            loss_cls=self.loss_cls(
                outputs.cls_logits,
                labels.float(),
                weight=valid[:, None],
                avg_factor=batch_divisor(labels.sum()),
            ),
            loss_mask=self.loss_mask(
                outputs.mask_logits, masks, valid[:, :, None] & valid[:, None, :]
            ),
            loss_dice=self.loss_dice(scores[rows], masks[rows]),
            loss_boundary=self.loss_boundary(scores[rows], masks[rows]),
            loss_consistency=self.loss_consistency(
                outputs.embeddings, classes.amax(dim=1), scores.amax(dim=1), valid
            ),
        )

    @torch.no_grad()
    def predict_by_feat(self, outputs: MaskOutputs) -> list[InstanceData]:
        """The ``nms_pre`` best candidates, by falling score; see :func:`mask_candidates`.

        Args:
            outputs: Result of :meth:`forward`.

        Returns:
            Per sample ``segments`` (M, 2) in feature steps, ``scores`` (M,) and ``labels`` (M,).
        """
        results = []
        dense = self.dense_predictions(outputs)
        for of_class, of_mask in zip(dense['scores'], dense['mask_scores']):
            segments, scores, labels = mask_candidates(
                of_class, of_mask, self.mask_thrs, self.num_snippets, self.score_thr
            )
            scores, best = self.choose(scores)
            results.append(
                InstanceData(segments=segments[best], scores=scores, labels=labels[best])
            )
        return results

    def dense_predictions(self, outputs: MaskOutputs) -> dict[str, Tensor]:
        """``scores`` ``(N, K, T)`` and ``mask_scores`` ``(N, T, T)`` of all snippets.

        A snippet's segments are the longest runs of steps whose mask score (last axis) is above
        each of ``mask_thrs``, see :func:`mask_candidates`.
        """
        return dict(
            scores=outputs.cls_logits[:, : self.num_classes].float().sigmoid(),
            mask_scores=outputs.mask_logits.float().sigmoid(),
        )

    def exported_lengths(self) -> ExportedLengths:
        """Up to ``max_steps``."""
        return ExportedLengths(longest=self.mask_branch.max_steps)
