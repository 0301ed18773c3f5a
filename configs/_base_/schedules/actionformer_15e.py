# ActionFormer's schedule for ActivityNet from features: that of THUMOS'14 with batches of 16, AdamW 1e-3
# and 10 epochs of cosine.
_base_ = './actionformer_35e.py'

train_cfg = dict(max_epochs=15)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], T_max=10, end=15),
]
auto_scale_lr = dict(base_batch_size=16)
