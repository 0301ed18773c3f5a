# A head small enough to train from scratch on two CPU cores. Windows of half as many steps begin at
# half the stride. Offsets weigh 1 in place of AFSD's 10: from scratch, with gradients clipped, 10 left
# classes next to nothing (docs/en/benchmarks/fir.md).
_base_ = './actionformer_tsm18_small.py'

model = dict(
    head=dict(
        _delete_=True,
        type='AFSDHead',
        in_channels=128,
        channels=128,
        first_stride=2,
        loss_reg=dict(loss_weight=1.0),
        refine_weight=1.0,
        loss_contrast=dict(type='BoundaryContrastiveLoss'),
    ),
)
