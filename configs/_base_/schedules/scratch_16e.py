# Short training from scratch: AdamW 1e-3 with warm-up and cosine, in the machine's fast precision.
# Weight decay 0.05 on matrices and kernels, none on norms, biases and scales.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=16, val_interval=16)
val_cfg = dict(type='AutocastValLoop')
test_cfg = dict(type='AutocastTestLoop')

optim_wrapper = dict(
    type='AutocastOptimWrapper',
    constructor='GroupedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05, fused=True),
    clip_grad=dict(max_norm=1.0),
    paramwise_cfg=dict(flat_decay_mult=0.0),
)

param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=True, end=1, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        begin=1,
        T_max=15,
        end=16,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]

auto_scale_lr = dict(enable=False, base_batch_size=2)
