_base_ = [
    '../_base_/models/actionformer_features.py',
    '../_base_/datasets/salads_features.py',
    '../_base_/schedules/features_80e.py',
    '../_base_/default_runtime.py',
]

default_hooks = dict(checkpoint=dict(interval=10))  # epochs are short

model = dict(
    data_preprocessor=dict(pad_to=_base_.window),
    head=dict(num_classes=_base_.num_classes),
)
