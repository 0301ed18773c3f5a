_base_ = ['../baseline/gtad_tsm18_grid.py', '../_base_/distill/conventional_of.py']

model = dict(
    _delete_=True,
    type='CrossModalDistiller',
    student=_base_.model,
    distill=_base_.distill,
    teacher_checkpoint='work_dirs/teacher/gtad_tsm18_grid_of',
)
train_dataloader = dict(dataset=dict(pipeline=_base_.paired_train_pipeline))
