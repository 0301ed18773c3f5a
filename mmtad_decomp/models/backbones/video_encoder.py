"""Any 2-D or 3-D backbone as an encoder of windows of frames."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from .introspection import backbone_stages, is_3d, stem_convs, time_geometry
from .pretrained import check_fit, read_state, stem_channels
from .stems import check_stem_init, loading_stems, stem_weight_keys, widen_stems
from .temporal_shift import temporal_shifts


@MODELS.register_module()
class VideoEncoder(BaseModule):
    """Run a backbone over windows of frames and pool over space.

    A 2-D backbone sees all frames of all windows folded into its batch, a 3-D one whole windows.
    The temporal shifts of MMAction2's ResNetTSM are set to the length of the input's windows, so
    that they never cross from one window into the next.

    Args:
        backbone: Config of the backbone. Its output (or the last of several) is
            ``(N*T, C, h, w)`` or, of a 3-D backbone, ``(N, C, T', h, w)``.
        in_channels: Channels of the input, if they are not those that the backbone is built
            with: its first convolution is replaced (2 for optical flow).
        stem_init: How weights for another number of input channels are adapted when they are
            loaded: ``'average'`` or ``'inflate'``, see
            :func:`~mmtad_decomp.models.backbones.stems.adapt_stem_weight`. None refuses them.
        chunk_size: Windows that run through the backbone at once; None runs all. Windows never
            see each other, so in eval mode the result is the same. With BatchNorm in training
            mode its statistics are those of a chunk.
        with_cp: Recompute each chunk's activations in the backward pass instead of keeping them.
            This saves memory only with a ``chunk_size``, since one chunk's are held at a time.
            BatchNorm's running statistics are updated once, in the first pass. (Backbones have a
            ``with_cp`` of their own that does so block by block and updates them twice.)
        channels_last: Keep frames and weights in channels-last memory order.
        frozen_stages: Stages that get no gradient and stay in eval mode: 0 freezes the stem, k
            the stem and stages 1 to k, -1 nothing.
        norm_eval: BatchNorm stays in eval mode; its affine parameters are trained.
        freeze_norm: BatchNorm stays in eval mode and its affine parameters get no gradient.
        init_cfg: ``dict(type='Pretrained', checkpoint=file)`` loads a recognizer's checkpoint,
            whose keys begin with ``backbone.`` as this module's do.

    Attributes:
        in_channels: Channels of the input; None if the backbone has no convolution.
        out_channels: Channels of the features.
        temporal_stride: Frames between steps of the features.
        temporal_offset: Frames from the centre of the first frame to the centre of step 0.
        temporal_multiple: Windows have a length that is a multiple of this.

    Raises:
        ValueError: If an option does not fit the backbone.
    """

    def __init__(
        self,
        backbone: dict,
        in_channels: int | None = None,
        stem_init: str | None = None,
        chunk_size: int | None = None,
        with_cp: bool = False,
        channels_last: bool = False,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        freeze_norm: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.backbone = MODELS.build(backbone)
        geometry = time_geometry(self.backbone)
        self.temporal_stride, self.temporal_offset, self.temporal_multiple = geometry
        self.out_channels = self.backbone.feat_dim
        self._is_3d = is_3d(self.backbone)
        self._shifts = temporal_shifts(self.backbone)
        self._built_channels = self._stem_channels()
        if in_channels is not None:
            widen_stems(self.backbone, in_channels)
        self.in_channels = self._stem_channels()
        if stem_init is not None:
            check_stem_init(stem_init)
        self.stem_init = stem_init
        self.chunk_size = chunk_size
        self.with_cp = with_cp
        self.memory_format = torch.contiguous_format
        if channels_last:
            self.use_channels_last()
        self.norm_eval = norm_eval or freeze_norm
        if freeze_norm:
            for module in self._norms():
                module.requires_grad_(False)
        self._frozen = self._freeze(frozen_stages)

    def use_channels_last(self) -> None:
        """Keep frames and weights in channels-last memory order from now on."""
        self.memory_format = torch.channels_last_3d if self._is_3d else torch.channels_last
        self.backbone.to(memory_format=self.memory_format)

    def _stem_channels(self) -> int | None:
        convs = stem_convs(self.backbone)
        return convs[0].in_channels if convs else None

    def _norms(self) -> list[nn.Module]:
        return [module for module in self.backbone.modules() if isinstance(module, _BatchNorm)]

    def _freeze(self, frozen_stages: int) -> list[nn.Module]:
        """Take the gradient from the first stages; returns their modules."""
        if frozen_stages < 0:
            return []
        stages = backbone_stages(self.backbone)
        if frozen_stages >= len(stages):
            raise ValueError(
                f'frozen_stages={frozen_stages}: {type(self.backbone).__name__} has a stem and '
                f'{len(stages) - 1} stages; set -1 (nothing) to {len(stages) - 1} (everything)'
            )
        frozen = [module for stage in stages[: frozen_stages + 1] for module in stage]
        for module in frozen:
            module.requires_grad_(False)
        return frozen

    def init_weights(self) -> None:
        """Initialise, from the checkpoint in ``init_cfg`` where there is one.

        Raises:
            FileNotFoundError: If that checkpoint is a local file that does not exist.
            ValueError: If it does not hold every weight of the backbone (the error names the
                ``prefix`` with which it does), or its first convolution
                has another number of input channels and ``stem_init`` does not say what to do.
        """
        loaded_channels = None
        if not self.is_init:
            loaded_channels = self._pretrained_channels()
        with loading_stems(self.backbone, loaded_channels, self.stem_init or ''):
            for path, prefix in [] if self.is_init else self._checkpoints():
                check_fit(path, read_state(path, prefix), self, read_state(path))
            super().init_weights()
        self.backbone.to(memory_format=self.memory_format)

    def _checkpoints(self) -> list[tuple[str, str | None]]:
        """Path and prefix of what ``init_cfg`` loads."""
        configs = self.init_cfg if isinstance(self.init_cfg, (list, tuple)) else [self.init_cfg]
        return [
            (config['checkpoint'], config.get('prefix'))
            for config in configs
            if config and config.get('checkpoint') is not None
        ]

    def _pretrained_channels(self) -> int | None:
        """Input channels of the weights that will be loaded, if they are not the encoder's."""
        channels, path = None, None
        if getattr(self.backbone, 'pretrained', None):  # loaded by the backbone as it was built
            channels, path = self._built_channels, self.backbone.pretrained
        for path, prefix in self._checkpoints():
            keys = stem_weight_keys(self.backbone, 'backbone.')
            channels = stem_channels(path, read_state(path, prefix), keys)
        if channels in (None, self.in_channels):
            return None
        if self.stem_init is None:
            raise ValueError(
                f'pretrained weights {path} read {channels} channels, the encoder reads '
                f"{self.in_channels}: set `backbone.stem_init='average'` to adapt the first "
                'convolution, or name weights of the same modality'
            )
        return channels

    def train(self, mode: bool = True) -> VideoEncoder:
        """Set the mode; frozen norms and stages stay in eval mode."""
        super().train(mode)
        for module in [*(self._norms() if self.norm_eval else []), *self._frozen]:
            module.eval()
        return self

    def check_input(self, channels: int | None = None, steps: int | None = None) -> None:
        """Raise ``ValueError`` if windows of so many channels or frames cannot be encoded.

        Args:
            channels: Channels of the input; None is not checked.
            steps: Frames of a window; None is not checked.
        """
        kind, multiple = type(self.backbone).__name__, self.temporal_multiple
        if channels is not None and self.in_channels not in (None, channels):
            raise ValueError(
                f'the input has {channels} channels, the first convolution of {kind} reads '
                f'{self.in_channels}: set `backbone.in_channels={channels}` (and '
                "`backbone.stem_init='average'` where it starts from other weights), or change "
                '`data_preprocessor.modality`'
            )
        if steps is not None and steps % multiple:
            raise ValueError(
                f'windows have {steps} frames, {kind} needs a multiple of {multiple}: set '
                '`data_preprocessor.pad_to` (and the window of the data set) to one, such as '
                f'{(steps // multiple + 1) * multiple}'
            )

    def forward(self, frames: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Encode windows.

        Args:
            frames: ``(N, T, C, H, W)``.
            masks: ``(N, T)`` bool, True at valid frames.

        Returns:
            Features ``(N, C', T')`` and their masks ``(N, T')``, T' being T / temporal_stride. A
            step is valid if any of its frames is.

        Raises:
            ValueError: If the input has the wrong number of channels or frames.
        """
        self.check_input(frames.shape[2], frames.shape[1])
        for module in self._shifts:
            module.num_segments = frames.shape[1]
        chunks = frames.split(self.chunk_size) if self.chunk_size else [frames]
        recompute = self.with_cp and self.training and torch.is_grad_enabled()
        feats = [
            checkpoint(self._encode, chunk, use_reentrant=False, context_fn=self._contexts)
            if recompute
            else self._encode(chunk)
            for chunk in chunks
        ]
        if self.temporal_stride > 1:
            masks = masks.unflatten(1, (-1, self.temporal_stride)).any(dim=2)
        return torch.cat(feats) * masks[:, None], masks

    def _contexts(self) -> tuple:
        """Contexts of the first pass and of the recomputation."""
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
        folded = frames.transpose(1, 2) if self._is_3d else frames.flatten(0, 1)
        maps = self.backbone(folded.contiguous(memory_format=self.memory_format))
        if isinstance(maps, (tuple, list)):
            maps = maps[-1]
        if not self._is_3d:
            return maps.mean(dim=(2, 3)).unflatten(0, (windows, steps)).transpose(1, 2)
        if maps.shape[2] * self.temporal_stride != steps:
            raise ValueError(
                f'{type(self.backbone).__name__} made {maps.shape[2]} steps of {steps} frames, '
                f'which its temporal_stride={self.temporal_stride} contradicts'
            )
        return maps.mean(dim=(3, 4))
