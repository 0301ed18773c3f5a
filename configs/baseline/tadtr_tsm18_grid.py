_base_ = [
    '../_base_/models/tadtr_tsm18_small.py',
    '../_base_/datasets/grid_videos.py',
    '../_base_/schedules/scratch_4e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(pad_to=_base_.window),
    head=dict(num_classes=_base_.num_classes),
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=_base_.slow_weights))
