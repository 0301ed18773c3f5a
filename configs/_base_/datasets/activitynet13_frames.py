# ActivityNet-1.3 as JPEG frames, prepared by tools/data/activitynet without the blocked videos.
# Every video is sampled whole at 96 frames of 96 pixels, E2E-TAD's setting for TSM. The classes are
# those of the annotation file, in its order.
data_root = 'data/activitynet/'
num_classes = 200
window = 96

train_pipeline = [
    dict(type='LoadFrameFolder', short_side=110, skip_unreadable=True),
    dict(type='RandomSpatialCrop', size=96),
    dict(type='PhotometricDistortion'),
    dict(type='RandomRotation', degrees=45, prob=0.5),
    dict(type='RandomHorizontalFlip', prob=0.5),
    dict(type='PackTADInputs'),
]
test_pipeline = [
    dict(type='LoadFrameFolder', short_side=110),
    dict(type='CenterSpatialCrop', size=96),
    dict(type='PackTADInputs'),
]

dataset = dict(
    type='TADDataset',
    data_root=data_root,
    ann_file='annotations.json',
    source='frames',
    num_samples=window,
)

train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(**dataset, subset='training', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**dataset, subset='validation', pipeline=test_pipeline, test_mode=True),
)
test_dataloader = val_dataloader

# Soft-NMS and voting are ActionFormer's for ActivityNet.
val_evaluator = dict(
    type='TADMetric',
    ann_file=data_root + 'annotations.json',
    subset='validation',
    tious=(0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95),
    post_processor=dict(
        type='PostProcessor',
        score_thr=0.001,
        nms=dict(type='soft_nms', sigma=0.75, min_score=0.001),
        voting_iou=0.9,
        max_per_video=100,
    ),
)
test_evaluator = val_evaluator
