# ActionFormer's head as for THUMOS'14 (width 512, 4 heads, window 19, 6 levels) on the RGB half of
# two-stream I3D features: channels 0 to 1024 of 2048. We chose the neck, a 1-D convolution to the
# head's width, which the method doubles. ActionFormer reads all 2048 channels without a neck.
rgb_channels, flow_channels = (0, 1024), (1024, 2048)

model = dict(
    type='TADDetector',
    data_preprocessor=dict(
        type='TADDataPreprocessor',
        modality=dict(type='FeatureInput', channels=rgb_channels),
    ),
    neck=dict(type='TemporalProjection', in_channels=1024, out_channels=512),
    head=dict(type='ActionFormerHead', in_channels=512),
)
