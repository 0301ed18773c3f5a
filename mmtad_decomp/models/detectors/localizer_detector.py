"""MMAction2's localizers (BMN, TEM, TCANet and the like) as detectors that can be distilled."""

from __future__ import annotations

import copy
from typing import Any

from mmaction.registry import MODELS
from mmengine.model import BaseModel
from torch import Tensor, nn

from .branches import Branches, BranchMixin, detector_arguments

_FEATURES = dict(type='TADDataPreprocessor', modality=dict(type='FeatureInput'))


@MODELS.register_module()
class LocalizerDetector(BaseModel):
    """A localizer of MMAction2 behind a data preprocessor and a neck.

    The localizer is used as it is, by its call
    ``localizer([(C, T), ...], data_samples, mode='loss' | 'predict' | 'tensor')``; targets,
    losses, post-processing and the form of its results stay its own.

    Args:
        head: Config of the localizer.
        neck: Config of a projection ``(N, C, T)`` to as many channels as the localizer reads;
            None passes the features on.
        data_preprocessor: Config of the data preprocessor, ready features by default.
        raw_mode: Mode in which the localizer runs where only the outputs of its modules are
            wanted, by a distiller's recorders: ``'tensor'``, or ``'loss'`` for a localizer whose
            mode ``'tensor'`` leaves modules out (TCANet's regressors); its losses are then
            dropped.
    """

    def __init__(
        self,
        head: dict,
        neck: dict | None = None,
        data_preprocessor: dict | None = None,
        raw_mode: str = 'tensor',
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            data_preprocessor=copy.deepcopy(data_preprocessor or _FEATURES), init_cfg=init_cfg
        )
        if raw_mode not in ('tensor', 'loss'):
            raise ValueError(f"raw_mode must be 'tensor' or 'loss', got {raw_mode!r}")
        self.raw_mode = raw_mode
        self.neck = None if neck is None else MODELS.build(copy.deepcopy(neck))
        self.head = MODELS.build(copy.deepcopy(head))
        self._steps = head.get('temporal_dim')

    def forward(
        self,
        inputs: Tensor,
        masks: Tensor,
        data_samples: list | None = None,
        mode: str = 'tensor',
    ) -> Any:
        """Run the localizer.

        Args:
            inputs: ``(N, C, T)`` features.
            masks: ``(N, T)`` bool, True at valid steps: all of them.
            data_samples: MMAction2's, one for each video.
            mode: ``'loss'``, ``'predict'`` or ``'tensor'``; results are the localizer's.

        Raises:
            ValueError: If lengths or channels are not what the localizer was built for.
        """
        self._check_steps(inputs, masks)
        if mode not in ('loss', 'predict'):
            return self.run_raw(self.head, self.head_input(inputs, masks), data_samples)
        if data_samples is None:
            raise ValueError(f'mode {mode!r} needs data_samples, one for each video')
        if mode == 'loss':
            return self.loss(inputs, masks, data_samples)
        return self.predict(self.head_input(inputs, masks), data_samples)

    def _check_steps(self, inputs: Tensor, masks: Tensor) -> None:
        kind, wanted = type(self.head).__name__, self._steps or inputs.shape[2]
        lengths = sorted(set(masks.sum(dim=1).tolist()))
        if lengths != [wanted]:
            raise ValueError(
                f'{kind} reads sequences of {wanted} steps (`temporal_dim`), the batch has '
                f'lengths {lengths}: rescale the features to one length, or change the option'
            )

    def head_input(self, inputs: Tensor, masks: Tensor) -> Tensor:
        """Input of the localizer, ``(N, D, T)``."""
        return inputs if self.neck is None else self.neck(inputs, masks)

    def run_raw(self, localizer: nn.Module, feats: Tensor, data_samples: list | None) -> Any:
        """Run a localizer for the outputs of its modules."""
        return localizer(list(feats), data_samples, mode=self.raw_mode)

    def loss(self, inputs: Tensor, masks: Tensor, data_samples: list) -> dict[str, Tensor]:
        """Losses of the localizer against the ground truth."""
        return self.head(list(self.head_input(inputs, masks)), data_samples, mode='loss')

    def predict(self, feats: Tensor, data_samples: list) -> list:
        """Results of the localizer, video by video: MMAction2's post-process the first one of a
        batch only."""
        results = []
        for video, sample in zip(feats, data_samples):
            results += self.head([video], [sample], mode='predict')
        return results


@MODELS.register_module()
class DecomposedLocalizer(BranchMixin, LocalizerDetector):
    """Dual-branch neck, shared localizer, fusion and joint localizer.

    The same as :class:`~.decomposed_detector.DecomposedDetector` for MMAction2's localizers: the
    shared one reads both branches, the appearance branch with ground truth and then the motion
    branch for a distiller; the joint one reads the fused feature and is all that runs in testing.
    ``L = L_joint + w_app * L_app (+ the distiller's losses)``.

    Args:
        detector: Config of the :class:`LocalizerDetector` to decompose. Its neck becomes a branch,
            its localizer the joint one, a second copy of it the shared one.
        fusion: Config of the fusion, without its ``channels``.
        appearance_weight: ``w_app``.
        shared_head: False leaves the shared localizer out, as in a published model, which can only
            be tested.

    Raises:
        ValueError: If ``detector`` has no neck that names its ``out_channels``.
    """

    def __init__(
        self,
        detector: dict,
        fusion: dict,
        appearance_weight: float = 1.0,
        shared_head: bool = True,
        init_cfg: dict | None = None,
    ) -> None:
        base = detector_arguments(detector, init_cfg)
        branch = base.pop('neck', None) or {}
        if 'out_channels' not in branch:
            raise ValueError(
                'DecomposedLocalizer: `detector.neck` needs `out_channels`, the width of a '
                'branch, which is the number of channels that the localizer reads'
            )
        super().__init__(neck=dict(type='DualBranchNeck', branch=branch), **base)
        width = branch['out_channels']
        self._add_branches(base['head'], fusion, width, appearance_weight, shared_head)

    def branches(self, inputs: Tensor, masks: Tensor, data_samples: list) -> Branches:
        """Run neck, shared localizer on both branches, fusion and joint localizer.

        A localizer computes its losses in the call that computes its outputs, so ``appearance``
        and ``joint`` are losses against the ground truth; ``motion`` is what the mode
        ``raw_mode`` returns.

        Args:
            inputs: ``(N, C, T)`` features.
            masks: ``(N, T)`` bool, True at valid steps: all of them.
            data_samples: MMAction2's, one for each video.

        Raises:
            RuntimeError: If the model was published and has no shared localizer.
        """
        return self._walk(
            inputs,
            masks,
            lambda localizer, feats: localizer(list(feats), data_samples, mode='loss'),
            lambda localizer, feats: self.run_raw(localizer, feats, data_samples),
        )

    def loss(self, inputs: Tensor, masks: Tensor, data_samples: list) -> dict[str, Tensor]:
        """Losses ``joint_*`` and ``app_*``; the motion branch's outputs are left to a distiller.

        Raises:
            RuntimeError: If the model was published and has no shared localizer.
        """
        branches = self.branches(inputs, masks, data_samples)
        return self._name_losses(branches.joint, branches.appearance)
