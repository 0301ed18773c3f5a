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

load_frames = dict(type='LoadVideoFrames', short_side=50, cache_dir=data_root + 'cache')
train_pipeline = [
    dict(**load_frames, skip_unreadable=True),
    dict(type='RandomSpatialCrop', size=40),
    dict(type='RandomHorizontalFlip', prob=0.5),
    dict(type='PackTADInputs'),
]
test_pipeline = [
    load_frames,
    dict(type='CenterSpatialCrop', size=40),
    dict(type='PackTADInputs'),
]

dataset = dict(data_root=data_root, metainfo=dict(classes=classes), sample_fps=10, window=window)
train_dataloader = dict(dataset=dict(**dataset, pipeline=train_pipeline))
val_dataloader = test_dataloader = dict(dataset=dict(**dataset, pipeline=test_pipeline))

val_evaluator = test_evaluator = dict(
    ann_file=data_root + 'annotations.json',
    classes=classes,
)
