# Weizmann: semi-synthetic compositions of real clips, prepared by tools/data/weizmann with
# leave-actors-out folds. `MMTAD_WEIZMANN_FOLD=1` in the environment picks another fold than 0.
_base_ = './small_videos.py'

data_root = 'data/weizmann/'
classes = ('bend', 'jack', 'jump', 'pjump', 'run', 'skip', 'wave1', 'wave2')
num_classes = 8
ann_file = 'annotations_fold{{$MMTAD_WEIZMANN_FOLD:0}}.json'
window = 128

train_pipeline = [
    dict(
        type='LoadVideoFrames',
        short_side=72,
        cache_dir=data_root + 'cache',
        skip_unreadable=True,
    ),
    dict(type='RandomSpatialCrop', size=64),
    dict(type='PhotometricDistortion'),
    dict(type='RandomHorizontalFlip', prob=0.5),
    dict(type='PackTADInputs'),
]
test_pipeline = [
    dict(type='LoadVideoFrames', short_side=72, cache_dir=data_root + 'cache'),
    dict(type='CenterSpatialCrop', size=64),
    dict(type='PackTADInputs'),
]

dataset = dict(
    data_root=data_root,
    ann_file=ann_file,
    metainfo=dict(classes=classes),
    sample_fps=12.5,
    window=window,
)
train_dataloader = dict(dataset=dict(**dataset, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(**dataset, pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(
    ann_file=data_root + ann_file,
    classes=classes,
    tious={
        '0.3:0.7': (0.3, 0.4, 0.5, 0.6, 0.7),
        '0.1:0.5': (0.1, 0.2, 0.3, 0.4, 0.5),
    },
)
test_evaluator = val_evaluator
