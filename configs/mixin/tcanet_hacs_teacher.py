# The baseline on motion features.
_base_ = './tcanet_hacs_baseline.py'

train_dataloader = dict(dataset=dict(data_prefix=dict(video=_base_.motion_root)))
val_dataloader = dict(dataset=dict(data_prefix=dict(video=_base_.motion_root)))
test_dataloader = dict(dataset=dict(data_prefix=dict(video=_base_.motion_root)))

work_dir = 'work_dirs/mixin/tcanet_hacs_teacher'
val_evaluator = dict(dump_config=dict(out=f'{work_dir}/results.json'))
test_evaluator = val_evaluator
