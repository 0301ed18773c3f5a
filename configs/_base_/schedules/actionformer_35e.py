# ActionFormer's schedule for THUMOS'14 from features: AdamW 1e-4 with weight decay 0.05 on matrices and
# kernels, none on norms, biases and scales; gradients clipped at 1; 5 epochs of linear warm-up, then
# 30 of cosine.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=35, val_interval=5)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    constructor='GroupedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05, fused=True),
    clip_grad=dict(max_norm=1.0),
    paramwise_cfg=dict(flat_decay_mult=0.0),
)

param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=True, end=5, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        begin=5,
        T_max=30,
        end=35,
        eta_min=1e-8,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]

# base batch size for `--auto-scale-lr`
auto_scale_lr = dict(enable=False, base_batch_size=2)
