# The embedded data set, rendered by tools/data/synthetic: four classes that differ only in motion,
# four that differ only in appearance. The actor stays inside the central 40 of 50 pixels. Colours
# decide, so they are not distorted.
_base_ = './small_videos.py'

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
    data_root=data_root,
    metainfo=dict(classes=classes),
    sample_fps=10,
    window=window,
)
train_dataloader = dict(dataset=dict(**dataset, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(**dataset, pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(
    ann_file=data_root + 'annotations.json',
    classes=classes,
    tious={
        '0.3:0.7': (0.3, 0.4, 0.5, 0.6, 0.7),
        '0.1:0.5': (0.1, 0.2, 0.3, 0.4, 0.5),
    },
)
test_evaluator = val_evaluator
