_base_ = ['../_base_/models/actionformer_tsm18_small.py', '../_base_/recipes/weizmann.py']

model = dict(
    data_preprocessor=dict(pad_to=_base_.window),
    head=dict(num_classes=_base_.num_classes),
)
