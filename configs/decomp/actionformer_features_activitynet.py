# Follows ../baseline/actionformer_features_activitynet.py, whose header names the release.
# Differences: those listed there; two branches and decomposed distillation from a teacher on
# the flow half of the features.
_base_ = [
    '../baseline/actionformer_features_activitynet.py',
    '../_base_/distill/decomp_flow_features.py',
]

model = dict(
    _delete_=True,
    type='CrossModalDistiller',
    student=dict(type='DecomposedDetector', detector=_base_.model, fusion=_base_.fusion),
    distill=_base_.distill,
    teacher_checkpoint='work_dirs/teacher/actionformer_features_activitynet',
)
