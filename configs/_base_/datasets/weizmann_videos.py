# Weizmann: semi-synthetic compositions of real clips, prepared by tools/data/weizmann with
# leave-actors-out folds. `MMTAD_WEIZMANN_FOLD=1` in the environment picks another fold than 0.
_base_ = './small_videos.py'

data_root = 'data/weizmann/'
classes = ('bend', 'jack', 'jump', 'pjump', 'run', 'skip', 'wave1', 'wave2')
num_classes = 8
ann_file = 'annotations_fold{{$MMTAD_WEIZMANN_FOLD:0}}.json'
window = 128

load_frames = dict(type='LoadVideoFrames', short_side=72, cache_dir=data_root + 'cache')
train_pipeline = [
    dict(**load_frames, skip_unreadable=True),
    dict(type='RandomSpatialCrop', size=64),
    dict(type='PhotometricDistortion'),
    dict(type='RandomHorizontalFlip', prob=0.5),
    dict(type='PackTADInputs'),
]
test_pipeline = [
    load_frames,
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
val_dataloader = test_dataloader = dict(dataset=dict(**dataset, pipeline=test_pipeline))

val_evaluator = test_evaluator = dict(
    ann_file=data_root + ann_file,
    classes=classes,
)
