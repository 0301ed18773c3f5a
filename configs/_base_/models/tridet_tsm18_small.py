# A head small enough to train from scratch on two CPU cores: width 128, one stem layer.
_base_ = './actionformer_tsm18_small.py'

model = dict(
    head=dict(
        _delete_=True,
        type='TriDetHead',
        in_channels=128,
        encoder=dict(embed_dims=128, mlp_dims=256, num_stem_layers=1),
    ),
)
