_base_ = ['./bmn_activitynet_baseline.py', '../_base_/distill/decomp_bmn.py']

model = dict(
    _delete_=True,
    type='CrossModalDistiller',
    student=dict(type='DecomposedLocalizer', detector=_base_.model, fusion=_base_.fusion),
    distill=_base_.distill,
    teacher_checkpoint='work_dirs/mixin/bmn_activitynet_teacher',
)

work_dir = 'work_dirs/mixin/bmn_activitynet_decomp'
val_evaluator = dict(dump_config=dict(out=f'{work_dir}/results.json'))
test_evaluator = val_evaluator
