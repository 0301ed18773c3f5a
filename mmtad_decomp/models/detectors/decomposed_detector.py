"""A detector whose features are decomposed into appearance and motion."""

from __future__ import annotations

from mmaction.registry import MODELS
from torch import Tensor

from mmtad_decomp.structures import TADDataSample

from .branches import Branches, BranchMixin, branch_neck, detector_arguments
from .tad_detector import TADDetector


@MODELS.register_module()
class DecomposedDetector(BranchMixin, TADDetector):
    """Dual-branch neck, shared head, fusion and joint head laid over any detector's config.

    Training (Lee et al., CVPR 2023): one shared head reads both branches; on the appearance
    branch it is trained with ground truth, on the motion branch with a teacher (by
    :class:`~mmtad_decomp.models.distillers.CrossModalDistiller`, which reads
    ``motion_outputs``). The joint head reads the fused feature and is trained with ground truth:
    ``L = L_joint + w_app * L_app (+ the distiller's losses)``. Testing runs the joint head alone.

    Args:
        detector: Config of the detector to decompose. Its neck (or, where it has none, a
            projection as wide as its head's input) becomes a branch of the dual-branch neck, its
            head becomes the joint head, and a second copy of its head the shared one.
        fusion: Config of the fusion, without its ``channels``.
        appearance_weight: ``w_app``.
        shared_head: False leaves the shared head out, as in a published model, which can only be
            tested.
        separate_heads: True gives the motion branch a head of its own in place of the shared one:
            the ablation "without shared head".
        motion_drop_rate: Share of the samples of a training batch whose fusion sees zeros in place
            of the motion branch, so that the joint head does not trust it alone. A teacher that
            knows its training videos by heart makes it too good there. Not in the paper.

    Raises:
        ValueError: If the head's config does not name its ``in_channels``, or the rate is not in
            [0, 1).
    """

    def __init__(
        self,
        detector: dict,
        fusion: dict,
        appearance_weight: float = 1.0,
        shared_head: bool = True,
        separate_heads: bool = False,
        motion_drop_rate: float = 0.0,
        init_cfg: dict | None = None,
    ) -> None:
        base = detector_arguments(detector, init_cfg)
        head = base['head']
        if 'in_channels' not in head:
            raise ValueError(
                'DecomposedDetector: `detector.head` needs `in_channels`, the width of a branch'
            )
        width = head['in_channels']
        base['neck'] = dict(type='DualBranchNeck', branch=branch_neck(base))
        super().__init__(**base)
        self._add_branches(
            head,
            fusion,
            width,
            appearance_weight,
            shared_head,
            separate_heads,
            motion_drop_rate,
        )

    def branches(self, inputs: Tensor, masks: Tensor) -> Branches:
        """Run backbone, neck, shared head on both branches, fusion and joint head.

        Args:
            inputs: ``(N, T, C, H, W)`` frames or ``(N, C, T)`` features.
            masks: ``(N, T)`` bool, True at valid steps.

        Raises:
            RuntimeError: If the model was published and has no shared head.
        """
        feats, masks = self.encode(inputs, masks)
        return self._walk(feats, masks, lambda head, feature: head(feature, masks))

    def loss(
        self, inputs: Tensor, masks: Tensor, data_samples: list[TADDataSample]
    ) -> dict[str, Tensor]:
        """Losses ``joint_*`` and ``app_*``; the motion branch's outputs are left to a distiller.

        Raises:
            RuntimeError: If the model was published and has no shared head.
        """
        joint = self.extra_losses(inputs, masks, data_samples)
        branches = self.branches(inputs, masks)
        assert self.shared_head is not None
        targets = self.targets(data_samples)
        appearance = self.shared_head.loss_by_feat(branches.appearance, targets)
        # Not by `joint.update`: the compiler would watch this method and compile each step again.
        of_head = self.head.loss_by_feat(branches.joint, targets)
        return self._name_losses({**joint, **of_head}, appearance)
