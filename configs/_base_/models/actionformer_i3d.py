# Inception I3D: stride 8 (32 steps of 256 frames), 1024 channels, input in [-1, 1] as in its original.
# Its Kinetics weights are converted from the PyTorch port's by tools/model_converters/i3d.py. A flow
# teacher may start from the port's flow weights, which need their own scale of flow:
# docs/en/user_guides/flow.md has the settings.
_base_ = './actionformer_tsm18.py'

i3d_rgb = 'checkpoints/i3d_rgb.pth'
# Fine-tuned one clip at a time and recomputed in the backward pass, which saves memory.
fine_tuned = dict(
    _delete_=True,
    freeze_norm=True,
    chunk_size=1,
    with_cp=True,
    init_cfg=dict(type='Pretrained', checkpoint=i3d_rgb),
)

model = dict(
    data_preprocessor=dict(modality=dict(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))),
    backbone=dict(_delete_=True, type='VideoEncoder', backbone=dict(type='InceptionI3D')),
    neck=dict(in_channels=1024),
)
