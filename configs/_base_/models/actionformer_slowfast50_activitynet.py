# ActionFormer for ActivityNet on SlowFast. The slow path is upsampled by 4 where E2E-TAD does so by 2, so
# that its 384 frames make 192 steps (our choice).
_base_ = ['./actionformer_slowfast50.py', './actionformer_activitynet_head.py']

model = dict(
    backbone=dict(backbone=dict(upsample=4)),
    neck=dict(out_channels=256),
    head=_base_.activitynet_head,
)
