"""Shared part of decomposed models: two branches, a shared head, a fusion and a joint head."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from mmaction.registry import MODELS
from torch import Tensor, nn

from ..necks import BranchFeatures


class Branches(NamedTuple):
    """Values that a decomposed model computes for one batch, from its features to its outputs.

    Attributes:
        features: Appearance and motion, each ``(N, D, T')``.
        masks: ``(N, T')`` bool, True at valid steps.
        appearance: Outputs of the shared head on the appearance branch.
        motion: Outputs of the shared head on the motion branch.
        joint: Outputs of the joint head on the fused feature.
    """

    features: BranchFeatures
    masks: Tensor
    appearance: Any
    motion: Any
    joint: Any


def detector_arguments(detector: dict, init_cfg: dict | None) -> dict[str, Any]:
    """Arguments of the detector of a config, a copy.

    Args:
        detector: Config of a detector.
        init_cfg: Takes the place of the detector's own; None keeps that.
    """
    arguments = copy.deepcopy(dict(detector))
    arguments.pop('type')
    arguments.pop('_scope_', None)  # of MMEngine, where the config comes from another package
    return arguments if init_cfg is None else {**arguments, 'init_cfg': init_cfg}


def branch_neck(detector: dict) -> dict:
    """Config of the neck that each branch of a detector has.

    Args:
        detector: Config of the detector to decompose.

    Returns:
        The detector's neck; where it has none, a projection as wide as its head's input
        (``in_channels``).
    """
    if detector.get('neck'):
        return copy.deepcopy(detector['neck'])
    width = detector['head']['in_channels']
    return dict(type='TemporalProjection', in_channels=width, out_channels=width)


class BranchMixin:
    """Shared head, fusion and joint head behind a dual-branch neck (Lee et al., CVPR 2023).

    For a detector that has a ``neck`` (:class:`~mmtad_decomp.models.necks.DualBranchNeck`) and a
    ``head``, which becomes the joint one.

    Attributes:
        shared_head: Reads both branches; None in a published model, which can only be tested.
        separate_head: Reads the motion branch in place of the shared head, for the ablation of the
            shared one; None in the method.
        motion_outputs: Passes on what the head gives on the motion branch. It computes
            nothing: it is the name (``source='motion_outputs'``) by which a distiller's recorder
            reads these outputs.
        appearance_weight: Factor of the losses on the appearance branch.
        motion_drop_rate: Share of the samples of a training batch whose fusion sees zeros in place
            of the motion branch.
    """

    neck: nn.Module
    head: nn.Module
    training: bool
    shared_head: nn.Module | None
    separate_head: nn.Module | None

    def _add_branches(
        self,
        head: dict,
        fusion: dict,
        width: int,
        appearance_weight: float,
        shared_head: bool,
        separate_heads: bool = False,
        motion_drop_rate: float = 0.0,
    ) -> None:
        """Build what a plain detector does not have.

        Args:
            head: Config of the head.
            fusion: Config of the fusion, without its ``channels``.
            width: D, the width of a branch.
            appearance_weight: See above.
            shared_head: Whether there is one.
            separate_heads: Whether the motion branch has a head of its own beside it.
            motion_drop_rate: See above.

        Raises:
            ValueError: If ``motion_drop_rate`` is not in [0, 1).
        """
        if not 0 <= motion_drop_rate < 1:
            raise ValueError(f'motion_drop_rate must be in [0, 1), got {motion_drop_rate}')
        self.fusion = MODELS.build(dict(channels=width, **fusion))
        self.shared_head = MODELS.build(copy.deepcopy(head)) if shared_head else None
        separate = shared_head and separate_heads
        self.separate_head = MODELS.build(copy.deepcopy(head)) if separate else None
        self.motion_outputs = nn.Identity()
        self.appearance_weight = appearance_weight
        self.motion_drop_rate = motion_drop_rate

    @property
    def motion_head(self) -> nn.Module | None:
        """Who reads the motion branch: the shared head, or the separate one."""
        return self.shared_head if self.separate_head is None else self.separate_head

    def head_input(self, feats: Tensor, masks: Tensor) -> Tensor:
        """The fused feature ``(N, D, T')``, which the joint head reads."""
        return self.fusion(*self.neck(feats, masks), masks)

    def _walk(
        self,
        feats: Tensor,
        masks: Tensor,
        read: Callable[[nn.Module, Tensor], Any],
        read_motion: Callable[[nn.Module, Tensor], Any] | None = None,
    ) -> Branches:
        """Run everything on features.

        The shared head reads appearance first and motion last, so that a recorder of a module
        inside it, which reads the last call, sees the motion branch.

        Args:
            feats: ``(N, C, T')``, what the neck reads.
            masks: ``(N, T')`` bool.
            read: Calls a head on a feature ``(N, D, T')``.
            read_motion: The same for the motion branch; None: as the others.

        Raises:
            RuntimeError: If the model was published and has no shared head.
        """
        if self.shared_head is None:
            raise RuntimeError(
                f'a published {type(self).__name__} has no shared head and cannot be trained; '
                'set `shared_head=True`'
            )
        features = self.neck(feats, masks)
        appearance = read(self.shared_head, features.appearance)
        motion = self.motion_outputs((read_motion or read)(self.motion_head, features.motion))
        seen = self._drop_motion(features.motion)
        joint = read(self.head, self.fusion(features.appearance, seen, masks))
        return Branches(features, masks, appearance, motion, joint)

    def _drop_motion(self, motion: Tensor) -> Tensor:
        """The motion branch as the fusion sees it in training, ``(N, D, T')``."""
        if not self.training or self.motion_drop_rate == 0:
            return motion
        dropped = torch.rand(len(motion), 1, 1, device=motion.device) < self.motion_drop_rate
        return motion.masked_fill(dropped, 0.0)

    def _name_losses(
        self, joint: dict[str, Tensor], appearance: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Losses ``joint_*`` and, weighted, ``app_*``."""
        losses = {f'joint_{name}': value for name, value in joint.items()}
        for name, value in appearance.items():
            losses[f'app_{name}'] = value * self.appearance_weight
        return losses
