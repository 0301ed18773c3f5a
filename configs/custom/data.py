# Your own data set, prepared by tools/data/convert.py, which prints these four lines for it.
_base_ = '../_base_/datasets/small_videos.py'

data_root = 'data/custom/'
classes = ('first action', 'second action')
sample_fps = 10
window = 128

# ---- nothing below has to change ----
num_classes = len(classes)
short_side, crop = 36, (32, 44)

train_pipeline = [
    dict(
        type='LoadVideoFrames',
        short_side=short_side,
        cache_dir=data_root + 'cache',
        skip_unreadable=True,
    ),
    # For long trainings, dict(type='PhotometricDistortion') after the crop is worth a try. In short
    # ones from scratch, RGB networks learn much more slowly with it.
    dict(type='RandomSpatialCrop', size=crop),
    dict(type='RandomHorizontalFlip', prob=0.5),
    dict(type='PackTADInputs'),
]
test_pipeline = [
    dict(type='LoadVideoFrames', short_side=short_side, cache_dir=data_root + 'cache'),
    dict(type='CenterSpatialCrop', size=crop),
    dict(type='PackTADInputs'),
]

dataset = dict(
    data_root=data_root,
    metainfo=dict(classes=classes),
    sample_fps=sample_fps,
    window=window,
)
train_dataloader = dict(batch_size=4, dataset=dict(**dataset, pipeline=train_pipeline))
val_dataloader = dict(batch_size=4, dataset=dict(**dataset, pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(
    ann_file=data_root + 'annotations.json',
    classes=classes,
    tious={
        '0.3:0.7': (0.3, 0.4, 0.5, 0.6, 0.7),
        '0.1:0.5': (0.1, 0.2, 0.3, 0.4, 0.5),
    },
    main='0.3:0.7',
    post_processor=dict(min_length=1 / sample_fps, voting_iou=None),
)
test_evaluator = val_evaluator
