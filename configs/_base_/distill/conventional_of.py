# Conventional distillation from a teacher on optical flow; see decomp_of.py.
_base_ = './conventional_tg.py'

distill = dict(
    teacher=dict(modality=dict(type='OpticalFlowInput'), backbone=dict(in_channels=2)),
)
