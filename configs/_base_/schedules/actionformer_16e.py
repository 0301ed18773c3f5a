# ActionFormer, end to end. From its release: weight decay 0.05 on matrices and kernels, none on norms,
# biases and scales, gradients clipped at 1, linear warm-up. From E2E-TAD: 16 epochs with a step at 14,
# AdamW 1e-4, and of the backbone 5e-6 with a weight decay of 1e-4. Differences: one epoch of warm-up
# where ActionFormer has 5 of 35; no cosine.
_base_ = './e2e_16e.py'

optim_wrapper = dict(
    optimizer=dict(weight_decay=0.05),
    paramwise_cfg=dict(
        flat_decay_mult=0.0,
        custom_keys={'backbone': dict(lr_mult=0.05, decay_mult=0.002)},
    ),
)

param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=True, end=1, convert_to_iter_based=True),
    dict(type='MultiStepLR', milestones=[14], gamma=0.1, by_epoch=True, end=16),
]
