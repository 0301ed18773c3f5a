_base_ = ['../_base_/models/actionformer_tsm50_small.py', '../_base_/recipes/synthetic.py']

model = dict(
    data_preprocessor=dict(pad_to=_base_.window),
    head=dict(num_classes=_base_.num_classes, num_levels=4, encoder=dict(layer_scale=0.1)),
)
