# RGB alone, distilled from teacher.py.
_base_ = ['./baseline.py', '../_base_/distill/decomp_tg.py']

model = dict(
    _delete_=True,
    type='CrossModalDistiller',
    student=dict(type='DecomposedDetector', detector=_base_.model, fusion=_base_.fusion),
    distill=_base_.distill,
    teacher_checkpoint='work_dirs/custom/teacher',
)
