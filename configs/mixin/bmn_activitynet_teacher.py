# The baseline on the flow half of the features.
_base_ = './bmn_activitynet_baseline.py'

model = dict(data_preprocessor=dict(modality=dict(channels=(200, 400))))

work_dir = 'work_dirs/mixin/bmn_activitynet_teacher'
val_evaluator = dict(dump_config=dict(out=f'{work_dir}/results.json'))
test_evaluator = val_evaluator
