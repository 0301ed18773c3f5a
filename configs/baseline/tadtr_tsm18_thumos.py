# Follows E2E-TAD's and TadTR's releases for THUMOS'14; hard NMS of 0.4 where windows overlap, and no other
# suppression. Differences: TSM18 in place of TSM50 or SlowFast, a neck before the head; a candidate
# in two overlaps counts once.
_base_ = [
    '../_base_/models/tadtr_tsm18.py',
    '../_base_/datasets/thumos14_frames.py',
    '../_base_/schedules/e2e_16e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(pad_to=_base_.window),
    backbone=dict(
        freeze_norm=True,
        backbone=dict(pretrained2d=True, pretrained=_base_.imagenet_resnet18),
    ),
    head=dict(num_classes=_base_.num_classes),
)

# E2E-TAD's clipping, and a tenth of the learning rate for what places samples and references.
optim_wrapper = dict(
    clip_grad=dict(max_norm=0.1),
    paramwise_cfg=dict(
        custom_keys={
            'sampling_offsets': dict(lr_mult=0.1),
            'decoder.reference': dict(lr_mult=0.1),
        }
    ),
)

val_evaluator = dict(post_processor=dict(nms=None, overlap_iou=0.4, max_per_video=None))
test_evaluator = val_evaluator
