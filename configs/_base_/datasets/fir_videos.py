# FIR: untrimmed ceiling-camera videos, five motion classes, prepared by tools/data/fir. Small enough
# to train from scratch on two CPU cores. Boundaries are noisy by up to about a second, so mAP at
# tIoU 0.1:0.5 comes first. Every test frame is seen whole; rotations suit a ceiling camera.
_base_ = './small_videos.py'

data_root = 'data/fir/'
classes = ('walk', 'standup', 'sitdown', 'falling', 'lying')
num_classes = 5
window = 128

load_frames = dict(type='LoadVideoFrames', short_side=54, cache_dir=data_root + 'cache')
train_pipeline = [
    dict(**load_frames, skip_unreadable=True),
    dict(type='RandomRotation', degrees=45, prob=0.5),
    dict(type='RandomSpatialCrop', size=(48, 64)),
    dict(type='PhotometricDistortion'),
    dict(type='RandomHorizontalFlip', prob=0.5),
    dict(type='PackTADInputs'),
]
test_pipeline = [
    load_frames,
    dict(type='PackTADInputs'),
]

# Optical flow, made by tools/data/extract_flow.py: in place of the frames for a teacher, beside them
# for its student.
uncached_frames = dict(type='LoadVideoFrames', short_side=54)
load_flow = dict(type='LoadOpticalFlow', folder=data_root + 'flow', frames=uncached_frames)
flow_train_pipeline = [load_flow, *train_pipeline[1:3], *train_pipeline[4:]]
flow_test_pipeline = [load_flow, *test_pipeline[1:]]
paired_train_pipeline = [train_pipeline[0], load_flow, *train_pipeline[1:]]

dataset = dict(data_root=data_root, metainfo=dict(classes=classes), sample_fps=6.25, window=window)
train_dataloader = dict(dataset=dict(**dataset, pipeline=train_pipeline))
val_dataloader = test_dataloader = dict(dataset=dict(**dataset, pipeline=test_pipeline))

val_evaluator = test_evaluator = dict(
    ann_file=data_root + 'annotations.json',
    classes=classes,
    tious={
        '_delete_': True,
        '0.1:0.5': (0.1, 0.2, 0.3, 0.4, 0.5),
        '0.3:0.7': (0.3, 0.4, 0.5, 0.6, 0.7),
    },
    main='0.1:0.5',
)
