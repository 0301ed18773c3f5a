# Follows ../baseline/actionformer_slowfast50_thumos.py, whose header names the release.
# Differences: those listed there; conventional distillation from a teacher on
# optical flow.
_base_ = ['../baseline/actionformer_slowfast50_thumos.py', '../_base_/distill/conventional_of.py']

model = dict(
    _delete_=True,
    type='CrossModalDistiller',
    student=_base_.model,
    distill=_base_.distill,
    teacher_checkpoint='work_dirs/teacher/actionformer_slowfast50_thumos_of',
)
train_dataloader = dict(dataset=dict(pipeline=_base_.paired_train_pipeline))
