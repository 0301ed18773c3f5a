_base_ = ['../baseline/actionformer_tsm18_synthetic.py', '../_base_/distill/conventional_tg.py']

model = dict(
    _delete_=True,
    type='CrossModalDistiller',
    student=_base_.model,
    distill=_base_.distill,
    teacher_checkpoint='work_dirs/teacher/actionformer_tsm18_synthetic_tg',
)
