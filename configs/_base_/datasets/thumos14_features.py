# THUMOS'14 from two-stream I3D features in ActionFormer's layout: <video>.npy of (steps, 2048), 1024 RGB
# channels and then 1024 of flow, one step every 4 frames of the video, each seeing 16 frames. Annotations
# by `tools/data/thumos14/prepare.py --annotations-only`, see docs/en/user_guides/features.md.
# Cropping and padding are ActionFormer's: at most 2304 steps, 90 to 100 % of a shorter video.
_base_ = ['./tad.py', './thumos14.py']

data_root = 'data/thumos14_features/'
window = 2304

load_features = dict(type='LoadFeatures', channels=2048)
train_pipeline = [
    load_features,
    dict(type='RandomFeatureCrop', max_length=window, min_visible=0.5, crop_ratio=(0.9, 1.0)),
    dict(type='PackTADInputs'),
]
test_pipeline = [load_features, dict(type='PackTADInputs')]

dataset = dict(
    data_root=data_root,
    source='feature',
    data_prefix=dict(feature='i3d'),
    feature_stride=4,
    feature_frames=16,
    metainfo=dict(classes=_base_.classes),
    ignore_labels=_base_.ignore_labels,
)
train_dataloader = dict(batch_size=2, dataset=dict(**dataset, pipeline=train_pipeline))
val_dataloader = dict(batch_size=1, dataset=dict(**dataset, pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = test_evaluator = dict(ann_file=data_root + 'annotations.json', **_base_.evaluation)
