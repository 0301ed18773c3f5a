_base_ = ['../baseline/tadtr_tsm18_grid.py', '../_base_/distill/conventional_tg.py']

model = dict(
    _delete_=True,
    type='CrossModalDistiller',
    student=_base_.model,
    distill=_base_.distill,
    teacher_checkpoint='work_dirs/teacher/tadtr_tsm18_grid_tg',
)
