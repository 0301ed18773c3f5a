# THUMOS'14 as JPEG frames at 10 fps, prepared by tools/data/thumos14 (211 test videos with 3,325
# instances by default; the official validation videos are its `training` subset and the official
# test videos its `validation`). Sampling and augmentation are E2E-TAD's: windows of 256 frames (25.6 s),
# overlap 0.75 in training and 0.25 in testing, short side 110, crop 96.
_base_ = ['./e2e_tad_frames.py', './thumos14.py']

data_root = 'data/thumos14/'
window = 256

# Optical flow, made by tools/data/extract_flow.py: in place of the frames for a teacher, beside them
# for its student.
load_flow = dict(type='LoadOpticalFlow', folder=data_root + 'flow', frames=_base_.load_frames)
flow_train_pipeline = [load_flow, _base_.train_pipeline[1], *_base_.train_pipeline[3:]]
flow_test_pipeline = [load_flow, *_base_.test_pipeline[1:]]
paired_train_pipeline = [_base_.train_pipeline[0], load_flow, *_base_.train_pipeline[1:]]

dataset = dict(
    data_root=data_root,
    source='frames',
    data_prefix=dict(frames='frames'),
    metainfo=dict(classes=_base_.classes),
    ignore_labels=_base_.ignore_labels,
    sample_fps=10,
    window=window,
)
train_dataloader = dict(dataset=dict(**dataset, overlap=0.75, pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(**dataset, overlap=0.25, pipeline=_base_.test_pipeline))
test_dataloader = val_dataloader

val_evaluator = test_evaluator = dict(ann_file=data_root + 'annotations.json', **_base_.evaluation)
