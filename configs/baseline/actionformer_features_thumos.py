# Follows ActionFormer's release for THUMOS'14 from I3D features (head, cropping, schedule, averaged weights,
# post-processing). Differences: the RGB half of the features alone; a neck before the head; softplus
# offsets, not ReLU; 211 test videos.
_base_ = [
    '../_base_/models/actionformer_i3d_features.py',
    '../_base_/datasets/thumos14_features.py',
    '../_base_/schedules/actionformer_35e.py',
    '../_base_/averaged_runtime.py',
]

model = dict(
    data_preprocessor=dict(pad_to=_base_.window),
    head=dict(num_classes=_base_.num_classes),
)
