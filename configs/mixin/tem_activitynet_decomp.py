_base_ = ['./tem_activitynet_baseline.py', '../_base_/distill/decomp_tem.py']

model = dict(
    _delete_=True,
    type='CrossModalDistiller',
    student=dict(type='DecomposedLocalizer', detector=_base_.model, fusion=_base_.fusion),
    distill=_base_.distill,
    teacher_checkpoint='work_dirs/mixin/tem_activitynet_teacher',
)

work_dir = 'work_dirs/mixin/tem_activitynet_decomp'
val_evaluator = [
    dict(
        _base_.val_evaluator[0],
        dump_config=dict(out=f'{work_dir}/tem_results', output_format='csv'),
    ),
    _base_.val_evaluator[1],
]
test_evaluator = [val_evaluator[0], _base_.test_evaluator[1]]
