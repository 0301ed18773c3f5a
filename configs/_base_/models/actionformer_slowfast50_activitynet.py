# ActionFormer's head as for ActivityNet: 192 steps, width 256, window 7, the last level global,
# position embedding, label smoothing, regression loss weighted 2, shortest candidate 0.001 steps. The
# slow path is upsampled by 4 where E2E-TAD does so by 2, so that its 384 frames make 192 steps (our
# choice).
_base_ = './actionformer_slowfast50.py'

model = dict(
    backbone=dict(backbone=dict(upsample=4)),
    neck=dict(out_channels=256),
    head=dict(
        in_channels=256,
        max_seq_len=192,
        encoder=dict(embed_dims=256, window_size=[7, 7, 7, 7, 7, None], position_length=192),
        label_smoothing=0.1,
        loss_norm=200.0,
        loss_reg=dict(loss_weight=2.0),
        min_length=0.001,
    ),
)
