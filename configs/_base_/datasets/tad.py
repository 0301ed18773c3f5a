# What the data sets have in common: shuffled windows in training, windows that cover every video in
# testing, mAP after ActionFormer's multi-class soft-NMS, which does not vote.
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='TADDataset', ann_file='annotations.json', subset='training'),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='TADDataset', ann_file='annotations.json', subset='validation', test_mode=True
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(
    type='TADMetric',
    subset='validation',
    post_processor=dict(
        type='PostProcessor',
        score_thr=0.001,
        min_length=0.05,
        nms=dict(type='soft_nms', sigma=0.5, min_score=0.001),
        max_per_video=200,
    ),
)
test_evaluator = val_evaluator
