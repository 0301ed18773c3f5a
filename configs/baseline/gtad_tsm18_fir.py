_base_ = ['../_base_/models/gtad_tsm18_small.py', '../_base_/recipes/fir.py']

# Actions may fill the window.
model = dict(
    data_preprocessor=dict(pad_to=_base_.window),
    head=dict(num_classes=_base_.num_classes, max_duration=_base_.window),
)
