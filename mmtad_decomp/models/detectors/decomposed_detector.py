"""A detector whose features are decomposed into appearance and motion."""

from __future__ import annotations

import copy

from mmaction.registry import MODELS
from torch import Tensor

from mmtad_decomp.structures import TADDataSample

from .tad_detector import TADDetector


@MODELS.register_module()
class DecomposedDetector(TADDetector):
    """Dual-branch neck, shared head, fusion and joint head laid over any detector's config.

    Training (Lee et al., CVPR 2023): one shared head reads both branches; on the appearance
    branch it is trained with ground truth, on the motion branch with a teacher (by
    :class:`~mmtad_decomp.models.distillers.CrossModalDistiller`, which watches its outputs). The
    joint head reads the fused feature and is trained with ground truth:
    ``L = L_joint + w_app * L_app (+ the distiller's losses)``. Testing runs the joint head alone.

    Args:
        detector: Config of the detector to decompose. Its neck (or, where it has none, a
            projection as wide as its head's input) becomes a branch of the dual-branch neck, its
            head becomes the joint head, and a second copy of its head the shared one.
        fusion: Config of the fusion, without its ``channels``.
        appearance_weight: ``w_app``.
        shared_head: False leaves the shared head out, as in a published model, which can only be
            tested.

    Raises:
        ValueError: If the head's config does not name its ``in_channels``.
    """

    def __init__(
        self,
        detector: dict,
        fusion: dict,
        appearance_weight: float = 1.0,
        shared_head: bool = True,
        init_cfg: dict | None = None,
    ) -> None:
        base = copy.deepcopy(dict(detector))
        base.pop('type')
        init_cfg = base.pop('init_cfg', None) if init_cfg is None else init_cfg
        head = base['head']
        if 'in_channels' not in head:
            raise ValueError(
                'DecomposedDetector: `detector.head` needs `in_channels`, the width of a branch'
            )
        width = head['in_channels']
        branch = base.pop('neck', None) or dict(
            type='TemporalProjection', in_channels=width, out_channels=width
        )
        super().__init__(
            neck=dict(type='DualBranchNeck', branch=branch), init_cfg=init_cfg, **base
        )
        self.fusion = MODELS.build(dict(channels=width, **fusion))
        self.shared_head = MODELS.build(copy.deepcopy(head)) if shared_head else None
        self.appearance_weight = appearance_weight

    def detect(self, inputs: Tensor, masks: Tensor) -> tuple:
        """The joint head's raw outputs."""
        feats, masks = self.encode(inputs, masks)
        branches = self.neck(feats, masks)
        return self.head(self.fusion(*branches, masks), masks)

    def loss(
        self, inputs: Tensor, masks: Tensor, data_samples: list[TADDataSample]
    ) -> dict[str, Tensor]:
        """Losses ``joint_*`` and ``app_*``; the motion branch's outputs are left to a distiller.

        The shared head runs on the appearance branch first and on the motion branch second.
        """
        if self.shared_head is None:
            raise RuntimeError(
                'a published DecomposedDetector has no shared head and cannot be trained; set '
                '`shared_head=True`'
            )
        joint_losses = self.contrast(inputs, masks, data_samples)
        feats, masks = self.encode(inputs, masks)
        appearance, motion = self.neck(feats, masks)
        targets = self.targets(data_samples)
        app_losses = self.shared_head.loss_by_feat(self.shared_head(appearance, masks), targets)
        self.shared_head(motion, masks)
        joint = self.head(self.fusion(appearance, motion, masks), masks)
        joint_losses.update(self.head.loss_by_feat(joint, targets))
        losses = {f'joint_{k}': v for k, v in joint_losses.items()}
        losses.update({f'app_{k}': v * self.appearance_weight for k, v in app_losses.items()})
        return losses
