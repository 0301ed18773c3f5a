# FIR: untrimmed ceiling-camera videos, five motion classes, prepared by tools/data/fir. Small enough
# to train from scratch on two CPU cores. Boundaries are noisy by up to about a second, so mAP at
# tIoU 0.1:0.5 comes first. Every test frame is seen whole; rotations suit a ceiling camera.
_base_ = './small_videos.py'

data_root = 'data/fir/'
classes = ('walk', 'standup', 'sitdown', 'falling', 'lying')
num_classes = 5
window = 128

train_pipeline = [
    dict(
        type='LoadVideoFrames',
        short_side=54,
        cache_dir=data_root + 'cache',
        skip_unreadable=True,
    ),
    dict(type='RandomRotation', degrees=45, prob=0.5),
    dict(type='RandomSpatialCrop', size=(48, 64)),
    dict(type='PhotometricDistortion'),
    dict(type='RandomHorizontalFlip', prob=0.5),
    dict(type='PackTADInputs'),
]
test_pipeline = [
    dict(type='LoadVideoFrames', short_side=54, cache_dir=data_root + 'cache'),
    dict(type='PackTADInputs'),
]

# Optical flow, made by tools/data/extract_flow.py: in place of the frames for a teacher, beside them
# for its student.
load_flow = dict(
    type='LoadOpticalFlow',
    folder=data_root + 'flow',
    frames=dict(type='LoadVideoFrames', short_side=54),
)
flow_train_pipeline = [
    load_flow,
    dict(type='RandomRotation', degrees=45, prob=0.5),
    dict(type='RandomSpatialCrop', size=(48, 64)),
    dict(type='RandomHorizontalFlip', prob=0.5),
    dict(type='PackTADInputs'),
]
flow_test_pipeline = [load_flow, dict(type='PackTADInputs')]
paired_train_pipeline = [train_pipeline[0], load_flow, *train_pipeline[1:]]

dataset = dict(
    data_root=data_root,
    metainfo=dict(classes=classes),
    sample_fps=6.25,
    window=window,
)
train_dataloader = dict(dataset=dict(**dataset, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(**dataset, pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(
    ann_file=data_root + 'annotations.json',
    classes=classes,
    tious={
        '0.1:0.5': (0.1, 0.2, 0.3, 0.4, 0.5),
        '0.3:0.7': (0.3, 0.4, 0.5, 0.6, 0.7),
    },
)
test_evaluator = val_evaluator
