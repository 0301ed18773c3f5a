# The embedded data set, rendered by tools/data/synthetic: four classes that differ only in motion,
# four that differ only in appearance. The actor stays inside the central 40 of 50 pixels. Colours
# decide, so they are not distorted.
data_root = 'data/synthetic/'
classes = (
    'shake', 'sway', 'rise', 'drop', 'spin_red', 'spin_green', 'spin_blue', 'spin_yellow',
)  # fmt: skip
num_classes = 8
window = 64

train_pipeline = [
    dict(
        type='LoadVideoFrames',
        short_side=50,
        cache_dir=data_root + 'cache',
        skip_unreadable=True,
    ),
    dict(type='RandomSpatialCrop', size=40),
    dict(type='RandomHorizontalFlip', prob=0.5),
    dict(type='PackTADInputs'),
]
test_pipeline = [
    dict(type='LoadVideoFrames', short_side=50, cache_dir=data_root + 'cache'),
    dict(type='CenterSpatialCrop', size=40),
    dict(type='PackTADInputs'),
]

dataset = dict(
    type='TADDataset',
    data_root=data_root,
    ann_file='annotations.json',
    source='video',
    metainfo=dict(classes=classes),
    sample_fps=10,
    window=window,
)

train_dataloader = dict(
    batch_size=2,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(**dataset, subset='training', overlap=0.5, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=2,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        **dataset, subset='validation', overlap=0.5, pipeline=test_pipeline, test_mode=True
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(
    type='TADMetric',
    ann_file=data_root + 'annotations.json',
    subset='validation',
    classes=classes,
    tious={
        '0.3:0.7': (0.3, 0.4, 0.5, 0.6, 0.7),
        '0.1:0.5': (0.1, 0.2, 0.3, 0.4, 0.5),
    },
    post_processor=dict(
        type='PostProcessor',
        score_thr=0.001,
        min_length=0.5,
        nms=dict(type='soft_nms', sigma=0.5, min_score=0.001),
        voting_iou=0.7,
        max_per_video=200,
    ),
)
test_evaluator = val_evaluator
