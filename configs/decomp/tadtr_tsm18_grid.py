_base_ = ['../baseline/tadtr_tsm18_grid.py', '../_base_/distill/decomp_tg.py']

model = dict(
    _delete_=True,
    type='CrossModalDistiller',
    student=dict(type='DecomposedDetector', detector=_base_.model, fusion=_base_.fusion),
    distill=_base_.distill,
    teacher_checkpoint='work_dirs/teacher/tadtr_tsm18_grid_tg',
)
