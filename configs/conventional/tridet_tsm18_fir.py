_base_ = ['../baseline/tridet_tsm18_fir.py', '../_base_/distill/conventional_tg.py']

model = dict(
    _delete_=True,
    type='CrossModalDistiller',
    student=_base_.model,
    distill=_base_.distill,
    teacher_checkpoint='work_dirs/teacher/tridet_tsm18_fir_tg',
)
