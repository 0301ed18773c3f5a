# 50 Salads from features, prepared by tools/data/salads: 128 channels of a network on RGB with motion
# history for the detector, 30 of accelerometers on ten utensils for its teacher. Steps are pairs of the
# source's, about 2.1 a second: windows of 512 are four minutes. Each of 25 folds holds
# out one user of one split: `MMTAD_SALADS_FOLD=7` in the environment picks another fold than 0.
# Pool the folds (docs/en/user_guides/study.md); one fold has two validation videos.
_base_ = './tad.py'

data_root = 'data/salads/'
classes = tuple(f'action{i}' for i in range(1, 10))
num_classes = 9
ann_file = 'annotations_fold{{$MMTAD_SALADS_FOLD:0}}.json'
window = 512

load_features = dict(type='LoadFeatures', channels=128)
load_motion = dict(
    type='LoadFeatures',
    channels=30,
    key='motion_features',
    folder=data_root + 'accelerometers',
)
crop = dict(type='RandomFeatureCrop', max_length=window, min_visible=0.5)
train_pipeline = [load_features, crop, dict(type='PackTADInputs')]
test_pipeline = [load_features, dict(type='PackTADInputs')]
paired_train_pipeline = [load_features, load_motion, crop, dict(type='PackTADInputs')]
paired_test_pipeline = [load_features, load_motion, dict(type='PackTADInputs')]

dataset = dict(
    data_root=data_root,
    ann_file=ann_file,
    source='feature',
    data_prefix=dict(feature='video'),
    feature_stride=2,
    feature_frames=2,
    metainfo=dict(classes=classes),
)
train_dataloader = dict(
    batch_size=2, num_workers=1, dataset=dict(**dataset, pipeline=train_pipeline)
)
val_dataloader = dict(batch_size=1, num_workers=1, dataset=dict(**dataset, pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(
    ann_file=data_root + ann_file,
    classes=classes,
    tious={
        '0.1:0.5': (0.1, 0.2, 0.3, 0.4, 0.5),
        '0.3:0.7': (0.3, 0.4, 0.5, 0.6, 0.7),
    },
    main='0.1:0.5',
    # votes, unlike ActionFormer: the published numbers were measured so
    post_processor=dict(min_length=0.5, voting_iou=0.7),
)
test_evaluator = val_evaluator
