# Few videos of features, from scratch on a CPU: AdamW 1e-3 with warm-up and cosine, float32.
_base_ = './scratch_16e.py'

train_cfg = dict(max_epochs=80, val_interval=80)
val_cfg = dict(_delete_=True, type='ValLoop')
test_cfg = dict(_delete_=True, type='TestLoop')

optim_wrapper = dict(type='OptimWrapper')

param_scheduler = [
    dict(_base_.param_scheduler[0], end=5),
    dict(_base_.param_scheduler[1], begin=5, T_max=75, end=80),
]
