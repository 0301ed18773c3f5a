# A head small enough to train from scratch on two CPU cores: width 128, 64 channels over the map.
_base_ = './actionformer_tsm18_small.py'

model = dict(
    head=dict(
        _delete_=True,
        type='GTADHead',
        in_channels=128,
        channels=128,
        map_branch=dict(align_channels=128, map_channels=64),
    ),
)
