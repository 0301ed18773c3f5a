# AFSD's head for THUMOS'14 on TSM18, whose feature steps are frames: width 512, levels with strides
# 4 to 128, boundary features of every frame. Loss weights are AFSD's: offsets 10, contrast 0.1, the
# others 1. AFSD has no neck; this one is doubled by the dual-branch neck.
_base_ = './actionformer_tsm18.py'

model = dict(
    head=dict(
        _delete_=True,
        type='AFSDHead',
        in_channels=512,
        loss_contrast=dict(type='BoundaryContrastiveLoss'),
    ),
)
