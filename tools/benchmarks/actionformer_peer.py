"""The official ActionFormer (package ``actionformer``), by the sizes that releases differ in."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from actionformer.modeling import make_meta_arch
from torch import nn

REGRESSION_RANGES = [(0, 4), (4, 8), (8, 16), (16, 32), (32, 64), (64, 10000)]


def official_actionformer(
    embd_dim: int,
    input_dim: int,
    max_seq_len: int,
    num_classes: int,
    window: int | Sequence[int],
    fpn_type: str = 'identity',
    use_abs_pe: bool = False,
    label_smoothing: float = 0.0,
    init_loss_norm: int = 100,
    loss_weight: float = 1.0,
    droppath: float = 0.1,
) -> nn.Module:
    """Build it with random weights; all other options are those of its config for THUMOS'14.

    Args:
        embd_dim: Width of the encoder, the pyramid and the heads.
        input_dim: Channels of the features.
        max_seq_len: Steps to which training pads.
        num_classes: K.
        window: Width of the attention's window in steps, or one per level; -1 is global.
        fpn_type: ``'identity'`` or ``'fpn'``.
        use_abs_pe: Add a sinusoidal position embedding.
        label_smoothing: Of the class targets.
        init_loss_norm: First value of the losses' divisor.
        loss_weight: Of the overlap loss.
        droppath: Probability to drop a residual branch; 0 also leaves its scale out.
    """
    return make_meta_arch(
        'LocPointTransformer',
        backbone_type='convTransformer',
        fpn_type=fpn_type,
        backbone_arch=(2, 2, 5),
        scale_factor=2,
        input_dim=input_dim,
        max_seq_len=max_seq_len,
        max_buffer_len_factor=6,
        n_head=4,
        n_mha_win_size=window,
        embd_kernel_size=3,
        embd_dim=embd_dim,
        embd_with_ln=True,
        fpn_dim=embd_dim,
        fpn_with_ln=True,
        fpn_start_level=0,
        head_dim=embd_dim,
        regression_range=REGRESSION_RANGES,
        head_num_layers=3,
        head_kernel_size=3,
        head_with_ln=True,
        use_abs_pe=use_abs_pe,
        use_rel_pe=False,
        num_classes=num_classes,
        train_cfg=dict(
            center_sample='radius',
            center_sample_radius=1.5,
            loss_weight=loss_weight,
            cls_prior_prob=0.01,
            dropout=0.0,
            droppath=droppath,
            label_smoothing=label_smoothing,
            init_loss_norm=init_loss_norm,
            head_empty_cls=[],
        ),
        test_cfg=dict(
            pre_nms_thresh=0.001,
            pre_nms_topk=2000,
            iou_threshold=0.1,
            min_score=0.001,
            max_seg_num=200,
            nms_method='soft',
            duration_thresh=0.05,
            multiclass_nms=True,
            nms_sigma=0.5,
            voting_thresh=0.7,
        ),
    )


@torch.no_grad()
def perturb(model: nn.Module) -> None:
    """Move every bias, norm and scale off its first value, so that each of them matters."""
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if name.endswith('drop_path_attn.scale') or name.endswith('drop_path_mlp.scale'):
            parameter.copy_(0.3 + 0.1 * noise)
        elif parameter.ndim < 2 or parameter.shape[0] == 1:
            parameter.add_(0.1 * noise)
