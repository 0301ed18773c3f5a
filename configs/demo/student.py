# The shipped student (demo/README.md), distilled from configs/demo/teacher.py.
_base_ = ['./detector.py', '../_base_/distill/decomp_tg.py']

model = dict(
    _delete_=True,
    type='CrossModalDistiller',
    student=dict(type='DecomposedDetector', detector=_base_.model, fusion=_base_.fusion),
    distill=_base_.distill,
    teacher_checkpoint='work_dirs/demo/teacher',
)
