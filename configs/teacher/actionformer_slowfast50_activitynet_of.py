# Follows ../baseline/actionformer_slowfast50_activitynet.py, whose header names the release.
# Differences: those listed there; the input is optical flow.
_base_ = ['../baseline/actionformer_slowfast50_activitynet.py', '../_base_/inputs/optical_flow.py']

model = _base_.flow_detector
train_dataloader = dict(dataset=dict(pipeline=_base_.flow_train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.flow_test_pipeline))
test_dataloader = val_dataloader
