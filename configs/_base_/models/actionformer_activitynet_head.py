# ActionFormer's head as for ActivityNet: 192 steps, width 256, window 7, the last level global,
# position embedding, label smoothing, regression loss weighted 2, shortest candidate 0.001 steps.
activitynet_head = dict(
    type='ActionFormerHead',
    in_channels=256,
    max_seq_len=192,
    encoder=dict(embed_dims=256, window_size=[7, 7, 7, 7, 7, None], position_length=192),
    label_smoothing=0.1,
    loss_norm=200.0,
    loss_reg=dict(loss_weight=2.0),
    min_length=0.001,
)
