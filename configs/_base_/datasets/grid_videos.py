# GRID: real 3-second recordings of one speaker's mouth, 26 spoken words as classes, prepared by
# tools/data/grid. Words last 0.08 to 0.43 s, so every frame is kept and short detections count. A
# window holds a whole recording. No PhotometricDistortion: trained from scratch for six epochs, an
# RGB network (ActionFormer, TSM18 of 32 channels, seed 0) has 69.5 mAP without it and 49.4 with it.
_base_ = './small_videos.py'

data_root = 'data/grid/'
classes = (
    'bin', 'lay', 'place', 'set', 'blue', 'green', 'red', 'white', 'at', 'by', 'in', 'with',
    'zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine',
    'again', 'now', 'please', 'soon',
)  # fmt: skip
num_classes = 26
window = 75

load_frames = dict(type='LoadVideoFrames', short_side=32, cache_dir=data_root + 'cache')
train_pipeline = [
    dict(**load_frames, skip_unreadable=True),
    dict(type='RandomSpatialCrop', size=(28, 42)),
    dict(type='RandomHorizontalFlip', prob=0.5),
    dict(type='PackTADInputs'),
]
test_pipeline = [
    load_frames,
    dict(type='CenterSpatialCrop', size=(28, 42)),
    dict(type='PackTADInputs'),
]

# Optical flow, made by tools/data/extract_flow.py: in place of the frames for a teacher, beside them
# for its student.
uncached_frames = dict(type='LoadVideoFrames', short_side=32)
load_flow = dict(type='LoadOpticalFlow', folder=data_root + 'flow', frames=uncached_frames)
flow_train_pipeline = [load_flow, *train_pipeline[1:]]
flow_test_pipeline = [load_flow, *test_pipeline[1:]]
paired_train_pipeline = [train_pipeline[0], load_flow, *train_pipeline[1:]]

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
