# ActivityNet-1.3 from two-stream I3D features in ActionFormer's layout: v_<video>.npy of (steps, 2048), 1024
# RGB channels and then 1024 of flow, one step every 16 frames of the video at 25 fps, each seeing 16 frames.
# Annotations by `tools/data/activitynet/prepare.py --annotations-only`, see
# docs/en/user_guides/features.md. Every video is stretched or shrunk to 192 steps, of which training
# keeps 90 to 100 %, as in ActionFormer. Proposals have one class, for a classifier of whole videos.
_base_ = ['./tad.py', './activitynet13.py']

data_root = 'data/activitynet_features/'
exclude_videos = data_root + 'blocked.json'
num_classes = 1
window = 192

load_features = dict(type='LoadFeatures', channels=2048)
resize_features = dict(type='ResizeFeatures', steps=window)
train_pipeline = [
    load_features,
    resize_features,
    dict(type='RandomFeatureCrop', max_length=window, min_visible=0.5, crop_ratio=(0.9, 1.0)),
    dict(type='PackTADInputs'),
]
test_pipeline = [load_features, resize_features, dict(type='PackTADInputs')]

dataset = dict(
    data_root=data_root,
    source='feature',
    data_prefix=dict(feature='i3d'),
    template='v_{}.npy',
    sample_fps=25,
    feature_stride=16,
    feature_frames=16,
    exclude_videos=exclude_videos,
)
train_dataloader = dict(batch_size=16, dataset=dict(**dataset, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(**dataset, pipeline=test_pipeline))
test_dataloader = val_dataloader

evaluation = dict(ann_file=data_root + 'annotations.json', exclude_videos=exclude_videos)
detections = dict(
    **evaluation,
    post_processor=dict(
        **_base_.one_class,
        classifier=dict(**_base_.classifier, path=data_root + 'cuhk_val_simp_share.json'),
    ),
)
proposals = dict(**evaluation)
