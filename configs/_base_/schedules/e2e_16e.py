# E2E-TAD's schedule: AdamW 1e-4, backbone 5e-6, weight decay 1e-4, step at epoch 14 of 16.
# No warm-up, as there. Its gradient clipping at 0.1 is for TadTR; ActionFormer clips at 1.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=16, val_interval=2)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    constructor='GroupedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=1e-4, fused=True),
    clip_grad=dict(max_norm=1.0),
    paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.05)}),
)

param_scheduler = [dict(type='MultiStepLR', milestones=[14], gamma=0.1, by_epoch=True, end=16)]

# base batch size for `--auto-scale-lr`
auto_scale_lr = dict(enable=False, base_batch_size=4)
