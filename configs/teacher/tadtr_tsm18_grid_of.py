_base_ = '../baseline/tadtr_tsm18_grid.py'

model = dict(
    data_preprocessor=dict(modality=dict(_delete_=True, type='OpticalFlowInput')),
    backbone=dict(in_channels=2),
)
train_dataloader = dict(dataset=dict(pipeline=_base_.flow_train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.flow_test_pipeline))
test_dataloader = val_dataloader
