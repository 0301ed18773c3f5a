# A head small enough to train from scratch on two CPU cores. Windows of half as many steps begin at
# half the stride.
_base_ = './actionformer_tsm18_small.py'

model = dict(
    head=dict(_delete_=True, type='AFSDHead', in_channels=128, channels=128, first_stride=2),
    boundary_contrast=dict(type='BoundaryContrastiveLoss'),
)
