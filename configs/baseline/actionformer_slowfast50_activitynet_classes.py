# Class-aware: no external classifier.
_base_ = [
    '../_base_/models/actionformer_slowfast50_activitynet.py',
    '../_base_/datasets/activitynet13_frames.py',
    '../_base_/schedules/e2e_16e.py',
    '../_base_/default_runtime.py',
]

window = 384
model = dict(
    data_preprocessor=dict(pad_to=window),
    backbone=dict(
        freeze_norm=True,
        chunk_size=1,
        with_cp=True,
        init_cfg=dict(type='Pretrained', checkpoint=_base_.kinetics_slowfast50),
    ),
    head=dict(num_classes=_base_.num_classes),
)
train_dataloader = val_dataloader = test_dataloader = dict(dataset=dict(num_samples=window))
val_evaluator = test_evaluator = [_base_.detections, _base_.proposals]
