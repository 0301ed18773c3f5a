# A head small enough to train from scratch on two CPU cores: width 128, attention window 9, one
# stem block.
_base_ = './actionformer_tsm18.py'

model = dict(
    backbone=dict(
        channels_last=True,
        backbone=dict(conv_cfg=dict(type='mmaction.SmallMapConv2d')),
    ),
    neck=dict(out_channels=128),
    head=dict(
        in_channels=128,
        encoder=dict(embed_dims=128, window_size=9, num_stem_layers=1),
    ),
)
