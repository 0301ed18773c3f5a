# Frames and augmentation of E2E-TAD: short side 110, crop 96.
_base_ = './tad.py'

load_frames = dict(type='LoadFrameFolder', short_side=110)
train_pipeline = [
    dict(**load_frames, skip_unreadable=True),
    dict(type='RandomSpatialCrop', size=96),
    dict(type='PhotometricDistortion'),
    dict(type='RandomRotation', degrees=45, prob=0.5),
    dict(type='RandomHorizontalFlip', prob=0.5),
    dict(type='PackTADInputs'),
]
test_pipeline = [
    load_frames,
    dict(type='CenterSpatialCrop', size=96),
    dict(type='PackTADInputs'),
]
