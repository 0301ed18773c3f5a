"""SlowFast with both paths on one time axis."""

from __future__ import annotations

import torch
from mmaction.models.backbones.resnet3d_slowfast import ResNet3dSlowFast
from mmaction.registry import MODELS
from torch import Tensor, nn


def sample_in_time(maps: Tensor, positions: Tensor) -> Tensor:
    """Linear interpolation in time; beyond the ends, the first and the last step go on.

    Args:
        maps: ``(N, C, T, ...)``.
        positions: ``(T',)``, in steps of ``maps``, step 0 being at 0.

    Returns:
        ``(N, C, T', ...)``.
    """
    positions = positions.clamp(0, maps.shape[2] - 1)
    below = positions.floor().long()
    above = (below + 1).clamp(max=maps.shape[2] - 1)
    weight = (positions - below).to(maps.dtype).view(-1, *[1] * (maps.ndim - 3))
    return torch.lerp(maps.index_select(2, below), maps.index_select(2, above), weight)


@MODELS.register_module()
class FusedSlowFast(ResNet3dSlowFast):
    """MMAction2's ResNet3dSlowFast, its two outputs resampled to one time axis and concatenated.

    With the defaults, SlowFast 4x16 (tau 8, alpha 8, beta 1/8) as in E2E-TAD: the slow path
    (stride 8, 2048 channels) is upsampled by 2, the fast path (stride 1, 256 channels) is sampled
    down to it, which gives stride 4 and 2304 channels. The weights are named as in MMAction2's
    recognizers.

    Time. Output step ``j`` stands for frames ``4 j`` to ``4 j + 3`` and is centred on their
    middle. The fast path is read there exactly (the mean of frames ``4 j + 1`` and ``4 j + 2``).
    The slow path sees frames 0, 8, 16, ..., so its step ``k`` is centred on frame ``8 k``.
    E2E-TAD upsamples it as if that step lay in the middle of its 8 frames, so what is read from
    it at a step was seen 3.5 frames before; ``slow_alignment='exact'`` reads it where it was seen.

    Args:
        depth: Depth of both paths, 18 to 152 (2304 channels are those of depth 50 and more).
        resample_rate: tau: the slow path sees one of so many frames.
        speed_ratio: alpha: the fast path sees so many times as many.
        channel_ratio: 1 / beta: the fast path has one of so many channels.
        upsample: Output steps for each step of the slow path.
        slow_alignment: ``'half_pixel'`` as E2E-TAD (its checkpoints need it), or ``'exact'``.
        with_cp: Recompute block by block in the backward pass, as MMAction2's ResNet3d.

    Raises:
        ValueError: If the rates do not divide each other or the alignment is unknown.
    """

    def __init__(
        self,
        depth: int = 50,
        resample_rate: int = 8,
        speed_ratio: int = 8,
        channel_ratio: int = 8,
        upsample: int = 2,
        slow_alignment: str = 'half_pixel',
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        if resample_rate % speed_ratio or resample_rate % upsample:
            raise ValueError(
                f'FusedSlowFast: resample_rate={resample_rate} must be a multiple of '
                f'speed_ratio={speed_ratio} and of upsample={upsample}'
            )
        if slow_alignment not in ('half_pixel', 'exact'):
            raise ValueError(
                f"FusedSlowFast: slow_alignment must be 'half_pixel' or 'exact', got "
                f'{slow_alignment!r}'
            )
        path = dict(
            type='resnet3d', depth=depth, conv1_stride_t=1, pool1_stride_t=1, with_cp=with_cp
        )
        super().__init__(
            resample_rate=resample_rate,
            speed_ratio=speed_ratio,
            channel_ratio=channel_ratio,
            slow_pathway=dict(path, lateral=True, conv1_kernel=(1, 7, 7), inflate=(0, 0, 1, 1)),
            fast_pathway=dict(
                path, lateral=False, conv1_kernel=(5, 7, 7), base_channels=64 // channel_ratio
            ),
            init_cfg=init_cfg,
        )
        self.feat_dim = self.slow_path.feat_dim + self.fast_path.feat_dim
        self.slow_alignment = slow_alignment
        self.temporal_stride = resample_rate // upsample
        self.temporal_offset = (self.temporal_stride - 1) / 2
        self.temporal_multiple = resample_rate

    def stem_convs(self) -> list[nn.Conv3d]:
        """The first convolution of each path."""
        return [self.slow_path.conv1.conv, self.fast_path.conv1.conv]

    def stages(self) -> list[list[nn.Module]]:
        """Modules of both paths by stage, each with the lateral connection that follows it."""
        paths = (self.slow_path, self.fast_path)
        laterals = ['conv1_lateral', *self.slow_path.lateral_connections]
        stages = []
        for index, name in enumerate(('conv1', *self.slow_path.res_layers)):
            modules = [getattr(path, name) for path in paths]
            if index < len(laterals):
                modules.append(getattr(self.slow_path, laterals[index]))
            stages.append(modules)
        return stages

    def forward(self, clips: Tensor) -> Tensor:
        """``(N, C, T, H, W)`` to ``(N, 2304, T / 4, h, w)`` (with the defaults).

        T has to be a multiple of ``resample_rate``.
        """
        slow, fast = super().forward(clips)
        steps = torch.arange(clips.shape[2] // self.temporal_stride, device=clips.device)
        frames = steps.float() * self.temporal_stride + self.temporal_offset
        if self.slow_alignment == 'exact':
            slow_positions = frames / self.resample_rate
        else:
            slow_positions = (frames + 0.5) / self.resample_rate - 0.5
        fast_rate = self.resample_rate // self.speed_ratio
        parts = (sample_in_time(slow, slow_positions), sample_in_time(fast, frames / fast_rate))
        return torch.cat(parts, dim=1)
