_base_ = './actionformer_tsm18.py'

# Fine-tuned one clip at a time and recomputed in the backward pass, which saves memory.
fine_tuned = dict(
    _delete_=True,
    freeze_norm=True,
    chunk_size=1,
    with_cp=True,
    init_cfg=dict(type='Pretrained', checkpoint=_base_.kinetics_tsm50),
)
model = dict(backbone=dict(backbone=dict(depth=50)), neck=dict(in_channels=2048))
