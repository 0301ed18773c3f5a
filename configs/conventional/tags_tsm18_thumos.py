# Follows ../baseline/tags_tsm18_thumos.py, whose header names the release.
# Differences: those listed there; conventional distillation from a teacher on
# the temporal gradient.
_base_ = ['../baseline/tags_tsm18_thumos.py', '../_base_/distill/conventional_tg.py']

model = dict(
    _delete_=True,
    type='CrossModalDistiller',
    student=_base_.model,
    distill=_base_.distill,
    teacher_checkpoint='work_dirs/teacher/tags_tsm18_thumos_tg',
)
