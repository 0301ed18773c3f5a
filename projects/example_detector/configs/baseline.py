custom_imports = dict(imports=['mmtad_decomp', 'example_detector'], allow_failed_imports=False)
default_scope = 'mmaction'

model = dict(
    type='example_detector.ActionnessNet',
    in_channels=16,
    data_preprocessor=dict(type='TADDataPreprocessor', modality=dict(type='FeatureInput')),
)

train_dataloader = dict(
    batch_size=8,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='GeneratedSteps', size=64),
)
val_dataloader = dict(
    batch_size=8,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='GeneratedSteps', size=64, seed=1),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='StepAccuracy')
test_evaluator = val_evaluator

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=10, val_interval=10)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(optimizer=dict(type='Adam', lr=0.003))
default_hooks = dict(logger=dict(type='LoggerHook', interval=8))
