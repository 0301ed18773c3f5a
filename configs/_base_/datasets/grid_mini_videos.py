# The embedded data set: recordings of GRID at 48x32 pixels with the twelve commands, colours and
# adverbs as classes, cut down by tools/data/grid/make_mini.py. See data/grid_mini/README.md.
_base_ = './small_videos.py'

data_root = 'data/grid_mini/'
cache_dir = 'work_dirs/cache/grid_mini'
classes = (
    'bin', 'lay', 'place', 'set', 'blue', 'green', 'red', 'white',
    'again', 'now', 'please', 'soon',
)  # fmt: skip
num_classes = 12
window = 75

train_pipeline = [
    dict(type='LoadVideoFrames', cache_dir=cache_dir, skip_unreadable=True),
    dict(type='RandomSpatialCrop', size=(28, 42)),
    dict(type='RandomHorizontalFlip', prob=0.5),
    dict(type='PackTADInputs'),
]
test_pipeline = [
    dict(type='LoadVideoFrames', cache_dir=cache_dir),
    dict(type='CenterSpatialCrop', size=(28, 42)),
    dict(type='PackTADInputs'),
]

dataset = dict(data_root=data_root, metainfo=dict(classes=classes), sample_fps=25, window=window)
train_dataloader = dict(batch_size=4, dataset=dict(**dataset, pipeline=train_pipeline))
val_dataloader = test_dataloader = dict(
    batch_size=4, dataset=dict(**dataset, pipeline=test_pipeline)
)

val_evaluator = test_evaluator = dict(
    ann_file=data_root + 'annotations.json',
    classes=classes,
    post_processor=dict(min_length=0.02, voting_iou=None),
)
