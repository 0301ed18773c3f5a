_base_ = ['./bmn_activitynet_baseline.py', '../_base_/distill/conventional_bmn.py']

model = dict(
    _delete_=True,
    type='CrossModalDistiller',
    student=_base_.model,
    distill=_base_.distill,
    teacher_checkpoint='work_dirs/mixin/bmn_activitynet_teacher',
)

work_dir = 'work_dirs/mixin/bmn_activitynet_conventional'
val_evaluator = dict(dump_config=dict(out=f'{work_dir}/results.json'))
test_evaluator = val_evaluator
