# ActionFormer's head, small, on features from files: width 128, attention window 9, one stem block.
model = dict(
    type='TADDetector',
    data_preprocessor=dict(type='TADDataPreprocessor', modality=dict(type='FeatureInput')),
    neck=dict(type='TemporalProjection', in_channels=128, out_channels=128),
    head=dict(
        type='ActionFormerHead',
        in_channels=128,
        encoder=dict(embed_dims=128, window_size=9, num_stem_layers=1),
    ),
)
