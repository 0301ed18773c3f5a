# ActivityNet-1.3 as JPEG frames, prepared by tools/data/activitynet. Every video is sampled whole, at
# as many frames as a config asks for. The classes are those of the annotation file, in
# its order. Blocked videos, as the same script lists them, leave data set and evaluation both.
_base_ = ['./e2e_tad_frames.py', './activitynet13.py']

data_root = 'data/activitynet/'
exclude_videos = data_root + 'blocked.json'
num_classes = 200

# Optical flow, made by tools/data/extract_flow.py between the sampled frames: in place of the frames
# for a teacher, beside them for its student.
load_flow = dict(type='LoadOpticalFlow', folder=data_root + 'flow', frames=_base_.load_frames)
flow_train_pipeline = [load_flow, _base_.train_pipeline[1], *_base_.train_pipeline[3:]]
flow_test_pipeline = [load_flow, *_base_.test_pipeline[1:]]
paired_train_pipeline = [_base_.train_pipeline[0], load_flow, *_base_.train_pipeline[1:]]

dataset = dict(data_root=data_root, source='frames', exclude_videos=exclude_videos)
train_dataloader = dict(dataset=dict(**dataset, pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(**dataset, pipeline=_base_.test_pipeline))
test_dataloader = val_dataloader

evaluation = dict(ann_file=data_root + 'annotations.json', exclude_videos=exclude_videos)
detections = dict(**evaluation)
proposals = dict(**evaluation)
