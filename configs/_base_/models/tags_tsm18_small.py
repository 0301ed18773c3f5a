# A head small enough to train from scratch on two CPU cores: width 128 throughout.
_base_ = './actionformer_tsm18_small.py'

model = dict(
    head=dict(
        _delete_=True,
        type='TAGSHead',
        in_channels=128,
        channels=128,
        block=dict(dropout=0.1),
        mask_branch=dict(channels=(128, 128)),
    ),
)
