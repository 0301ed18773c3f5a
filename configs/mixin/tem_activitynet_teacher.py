# The baseline on the flow half of the features.
_base_ = './tem_activitynet_baseline.py'

model = dict(data_preprocessor=dict(modality=dict(channels=(200, 400))))

work_dir = 'work_dirs/mixin/tem_activitynet_teacher'
val_evaluator = [
    dict(
        _base_.val_evaluator[0],
        dump_config=dict(out=f'{work_dir}/tem_results', output_format='csv'),
    ),
    _base_.val_evaluator[1],
]
test_evaluator = [val_evaluator[0], _base_.test_evaluator[1]]
