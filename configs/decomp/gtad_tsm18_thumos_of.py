# Follows ../baseline/gtad_tsm18_thumos.py, whose header names the release.
# Differences: those listed there; two branches and decomposed distillation from a teacher on
# optical flow.
_base_ = ['../baseline/gtad_tsm18_thumos.py', '../_base_/distill/decomp_of.py']

model = dict(
    _delete_=True,
    type='CrossModalDistiller',
    student=dict(type='DecomposedDetector', detector=_base_.model, fusion=_base_.fusion),
    distill=_base_.distill,
    teacher_checkpoint='work_dirs/teacher/gtad_tsm18_thumos_of',
)
train_dataloader = dict(dataset=dict(pipeline=_base_.paired_train_pipeline))
