# Few videos of features, from scratch on a CPU: AdamW 1e-3 with warm-up and cosine, float32.
_base_ = './scratch_16e.py'

max_epochs = 40
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
val_cfg = dict(_delete_=True, type='ValLoop')
test_cfg = dict(_delete_=True, type='TestLoop')

optim_wrapper = dict(type='OptimWrapper')

param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=True, end=5, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        begin=5,
        T_max=max_epochs - 5,
        end=max_epochs,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
