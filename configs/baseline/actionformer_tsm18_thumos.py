# Follows ActionFormer's release for THUMOS'14 (head, post-processing, weight decay, averaged weights) and
# E2E-TAD's (frames, augmentation, backbone, schedule). Differences: trained end to end on windows
# of 25.6 s, not on features of whole videos; a neck before the head; softplus
# offsets, not ReLU.
_base_ = [
    '../_base_/models/actionformer_tsm18.py',
    '../_base_/datasets/thumos14_frames.py',
    '../_base_/schedules/actionformer_16e.py',
    '../_base_/averaged_runtime.py',
]

model = dict(
    data_preprocessor=dict(pad_to=_base_.window),
    backbone=dict(
        freeze_norm=True,
        backbone=dict(pretrained2d=True, pretrained=_base_.imagenet_resnet18),
    ),
    head=dict(num_classes=_base_.num_classes),
)
