# Follows ../baseline/actionformer_features_activitynet.py, whose header names the release.
# Differences: those listed there; conventional distillation from a teacher on
# the flow half of the features.
_base_ = [
    '../baseline/actionformer_features_activitynet.py',
    '../_base_/distill/conventional_flow_features.py',
]

model = dict(
    _delete_=True,
    type='CrossModalDistiller',
    student=_base_.model,
    distill=_base_.distill,
    teacher_checkpoint='work_dirs/teacher/actionformer_features_activitynet',
)
