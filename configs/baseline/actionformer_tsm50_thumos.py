# Follows ActionFormer's release for THUMOS'14 (head, post-processing, weight decay, averaged weights) and
# E2E-TAD's (frames, augmentation, backbone, schedule). Differences: trained end to end on windows
# of 25.6 s, not on features of whole videos; a neck before the head; softplus
# offsets, not ReLU.
_base_ = ['../_base_/models/actionformer_tsm50.py', '../_base_/recipes/thumos14_actionformer.py']

model = dict(
    data_preprocessor=dict(pad_to=_base_.window),
    backbone=_base_.fine_tuned,
    head=dict(num_classes=_base_.num_classes),
)
