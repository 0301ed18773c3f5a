_base_ = [
    '../_base_/models/tridet_tsm18_small.py',
    '../_base_/datasets/fir_videos.py',
    '../_base_/schedules/scratch_16e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(pad_to=_base_.window),
    head=dict(num_classes=_base_.num_classes),
)
