# THUMOS'14 as JPEG frames at 10 fps, prepared by tools/data/thumos14 (211 test videos with 3,325
# instances by default; the official validation videos are its `training` subset and the official
# test videos its `validation`). Sampling and augmentation are E2E-TAD's: windows of 256 frames (25.6 s),
# overlap 0.75 in training and 0.25 in testing, short side 110, crop 96.
_base_ = './tad.py'

data_root = 'data/thumos14/'
classes = (
    'BaseballPitch', 'BasketballDunk', 'Billiards', 'CleanAndJerk', 'CliffDiving',
    'CricketBowling', 'CricketShot', 'Diving', 'FrisbeeCatch', 'GolfSwing', 'HammerThrow',
    'HighJump', 'JavelinThrow', 'LongJump', 'PoleVault', 'Shotput', 'SoccerPenalty',
    'TennisSwing', 'ThrowDiscus', 'VolleyballSpiking',
)  # fmt: skip
num_classes = 20
window = 256

train_pipeline = [
    dict(type='LoadFrameFolder', short_side=110, skip_unreadable=True),
    dict(type='RandomSpatialCrop', size=96),
    dict(type='PhotometricDistortion'),
    dict(type='RandomRotation', degrees=45, prob=0.5),
    dict(type='RandomHorizontalFlip', prob=0.5),
    dict(type='PackTADInputs'),
]
test_pipeline = [
    dict(type='LoadFrameFolder', short_side=110),
    dict(type='CenterSpatialCrop', size=96),
    dict(type='PackTADInputs'),
]

# Optical flow, made by tools/data/extract_flow.py: in place of the frames for a teacher, beside them
# for its student.
load_flow = dict(
    type='LoadOpticalFlow',
    folder=data_root + 'flow',
    frames=dict(type='LoadFrameFolder', short_side=110),
)
flow_train_pipeline = [
    load_flow,
    dict(type='RandomSpatialCrop', size=96),
    dict(type='RandomRotation', degrees=45, prob=0.5),
    dict(type='RandomHorizontalFlip', prob=0.5),
    dict(type='PackTADInputs'),
]
flow_test_pipeline = [
    load_flow,
    dict(type='CenterSpatialCrop', size=96),
    dict(type='PackTADInputs'),
]
paired_train_pipeline = [train_pipeline[0], load_flow, *train_pipeline[1:]]

dataset = dict(
    data_root=data_root,
    source='frames',
    data_prefix=dict(frames='frames'),
    metainfo=dict(classes=classes),
    ignore_labels=('Ambiguous',),
    sample_fps=10,
    window=window,
)
train_dataloader = dict(dataset=dict(**dataset, overlap=0.75, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(**dataset, overlap=0.25, pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(
    ann_file=data_root + 'annotations.json',
    classes=classes,
    ignore_labels=('Ambiguous',),
    tious=(0.3, 0.4, 0.5, 0.6, 0.7),
    # heads bound the candidates of a window; the releases have no bound per video
    post_processor=dict(pre_nms_topk=None),
)
test_evaluator = val_evaluator
