"""Any 2-D backbone as an encoder of windows of frames."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from mmaction.models.backbones.resnet_tsm import TemporalShift
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


@MODELS.register_module()
class VideoEncoder(BaseModule):
    """Fold frames into the batch, run a 2-D backbone, pool over space, unfold.

    The temporal shifts of MMAction2's ResNetTSM are set to the length of the window at hand, so
    that they never cross from one window into the next.

    Args:
        backbone: Config of the backbone; its last output is ``(N*T, C, h, w)``.
        chunk_size: Windows that run through the backbone at once; None runs all. With BatchNorm
            in training mode its statistics are those of a chunk.
        with_cp: Recompute each chunk's activations in the backward pass instead of keeping them.
            This saves memory only with a ``chunk_size``, since one chunk's are held at a time.
            BatchNorm's running statistics are updated once, in the first pass. (MMAction2's
            backbones have a ``with_cp`` of their own that does so block by block and updates
            them twice.)
        channels_last: Keep frames and weights in channels-last memory order.
        freeze_norm: BatchNorm stays in eval mode and its affine parameters get no gradient.
        init_cfg: ``dict(type='Pretrained', checkpoint=file)`` loads a recognizer's checkpoint,
            whose keys begin with ``backbone.`` as this module's do.
    """

    temporal_stride = 1

    def __init__(
        self,
        backbone: dict,
        chunk_size: int | None = None,
        with_cp: bool = False,
        channels_last: bool = False,
        freeze_norm: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.backbone = MODELS.build(backbone)
        self.out_channels = self.backbone.feat_dim
        self.chunk_size = chunk_size
        self.with_cp = with_cp
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.freeze_norm = freeze_norm
        if channels_last:
            self.backbone.to(memory_format=torch.channels_last)
        if freeze_norm:
            for module in self._norms():
                module.requires_grad_(False)

    def _norms(self) -> list[nn.Module]:
        return [module for module in self.backbone.modules() if isinstance(module, _BatchNorm)]

    def init_weights(self) -> None:
        """Initialise, from the checkpoint in ``init_cfg`` where there is one.

        Raises:
            FileNotFoundError: If that checkpoint is a local file that does not exist.
            ValueError: If it does not hold every weight of the backbone.
        """
        configs = self.init_cfg if isinstance(self.init_cfg, (list, tuple)) else [self.init_cfg]
        for config in configs:
            if config and config.get('checkpoint') is not None and not self.is_init:
                self._check_pretrained(config['checkpoint'], config.get('prefix'))
        super().init_weights()

    def _check_pretrained(self, path: str, prefix: str | None) -> None:
        """Refuse a checkpoint that MMEngine would load in part or not at all, without a word."""
        if '://' not in path and not os.path.isfile(path):
            raise FileNotFoundError(
                f'pretrained weights {path} of the backbone do not exist: download them (see '
                'docs/en/user_guides/train_test.md) or set `backbone.init_cfg=None` to train from '
                'scratch'
            )
        content = CheckpointLoader.load_checkpoint(path, map_location='cpu')
        found = content.get('state_dict', content)
        start = '' if prefix is None else prefix.rstrip('.') + '.'
        own = self.state_dict()
        missing = [key for key in own if start + key not in found]
        missing = [key for key in missing if not key.endswith('num_batches_tracked')]
        misfits = [
            key
            for key, value in own.items()
            if start + key in found and found[start + key].shape != value.shape
        ]
        for problem, names in (('not in it', missing), ('of another shape', misfits)):
            if names:
                raise ValueError(
                    f'pretrained weights {path} do not fit the backbone: {len(names)} of '
                    f"{len(own)} entries are {problem}, such as {names[0]}. Name a recognizer's "
                    'checkpoint with the same backbone (same depth, same shift)'
                )

    def train(self, mode: bool = True) -> VideoEncoder:
        """Set the mode; frozen norms stay in eval mode."""
        super().train(mode)
        if self.freeze_norm:
            for module in self._norms():
                module.eval()
        return self

    def forward(self, frames: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Encode windows.

        Args:
            frames: ``(N, T, C, H, W)``.
            masks: ``(N, T)`` bool, True at valid frames.

        Returns:
            Features ``(N, C', T)`` and their masks ``(N, T)``.
        """
        for module in self.backbone.modules():
            if isinstance(module, TemporalShift):
                module.num_segments = frames.shape[1]
        chunks = frames.split(self.chunk_size or len(frames))
        recompute = self.with_cp and self.training and torch.is_grad_enabled()
        feats = [
            checkpoint(self._encode, chunk, use_reentrant=False, context_fn=self._contexts)
            if recompute
            else self._encode(chunk)
            for chunk in chunks
        ]
        return torch.cat(feats) * masks[:, None], masks

    def _contexts(self) -> tuple:
        """What surrounds the first pass and the recomputation."""
        return nullcontext(), self._keep_running_stats()

    @contextmanager
    def _keep_running_stats(self) -> Iterator[None]:
        """Let BatchNorm compute as in training without moving its running statistics."""
        norms = [norm for norm in self._norms() if norm.training and norm.track_running_stats]
        before = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]
        for norm in norms:
            norm.momentum = 0.0
        try:
            yield
        finally:
            for norm, (momentum, batches) in zip(norms, before):
                norm.momentum = momentum
                norm.num_batches_tracked.copy_(batches)

    def _encode(self, frames: Tensor) -> Tensor:
        windows, steps = frames.shape[:2]
        folded = frames.flatten(0, 1).contiguous(memory_format=self.memory_format)
        maps = self.backbone(folded)
        if isinstance(maps, (tuple, list)):
            maps = maps[-1]
        return maps.mean(dim=(2, 3)).unflatten(0, (windows, steps)).transpose(1, 2)
