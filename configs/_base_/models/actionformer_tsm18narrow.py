# A narrow TSM18 and a small head for frames of about 28x42 pixels: trained from scratch in a few
# minutes on two CPU cores.
model = dict(
    type='TADDetector',
    data_preprocessor=dict(type='TADDataPreprocessor', modality=dict(type='RGBInput')),
    backbone=dict(
        type='VideoEncoder',
        channels_last=True,
        backbone=dict(
            type='NarrowResNetTSM',
            depth=18,
            base_channels=16,
            strides=(2, 2, 2, 2),
            shift_div=8,
            shift_place='blockres',
            conv_cfg=dict(type='mmaction.SmallMapConv2d'),
        ),
    ),
    neck=dict(type='TemporalProjection', in_channels=128, out_channels=128),
    head=dict(
        type='ActionFormerHead',
        in_channels=128,
        encoder=dict(embed_dims=128, window_size=9, num_stem_layers=1, layer_scale=0.1),
    ),
)
