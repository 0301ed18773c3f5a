# The baseline on accelerometers.
_base_ = '../baseline/actionformer_features_salads.py'

model = dict(
    data_preprocessor=dict(modality=dict(key='motion_features')),
    neck=dict(in_channels=30),
)
train_dataloader = dict(dataset=dict(pipeline=_base_.paired_train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.paired_test_pipeline))
test_dataloader = val_dataloader
