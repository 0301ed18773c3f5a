_base_ = './actionformer_tsm18_small.py'

model = dict(backbone=dict(backbone=dict(depth=50)), neck=dict(in_channels=2048))
