# SlowFast 4x16 of ResNet-50 as in E2E-TAD: tau 8, alpha 8, beta 1/8, the slow path upsampled by 2 and
# the fast path brought down to it: stride 4 (64 steps of 256 frames), 2304 channels.
_base_ = './actionformer_tsm18.py'

kinetics_slowfast50 = (
    'https://download.openmmlab.com/mmaction/v1.0/recognition/slowfast/'
    'slowfast_r50_8xb8-4x16x1-256e_kinetics400-rgb/'
    'slowfast_r50_8xb8-4x16x1-256e_kinetics400-rgb_20220901-701b0f6f.pth'
)
# Fine-tuned one clip at a time and recomputed in the backward pass, which saves memory.
fine_tuned = dict(
    _delete_=True,
    freeze_norm=True,
    chunk_size=1,
    with_cp=True,
    init_cfg=dict(type='Pretrained', checkpoint=kinetics_slowfast50),
)

model = dict(
    backbone=dict(_delete_=True, type='VideoEncoder', backbone=dict(type='FusedSlowFast')),
    neck=dict(in_channels=2304),
)
