# Follows ActionFormer's release for ActivityNet-1.3 from I3D features (head, resizing, cropping, schedule,
# averaged weights, post-processing). Differences: the RGB half of the features alone; a neck before the
# head; softplus offsets, not ReLU.
_base_ = [
    '../_base_/models/actionformer_i3d_features_activitynet.py',
    '../_base_/datasets/activitynet13_features.py',
    '../_base_/schedules/actionformer_15e.py',
    '../_base_/averaged_runtime.py',
]

model = dict(
    data_preprocessor=dict(pad_to=_base_.window),
    head=dict(num_classes=_base_.num_classes),
)
val_evaluator = test_evaluator = [_base_.detections, _base_.proposals]
