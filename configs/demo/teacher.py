# The motion teacher of the shipped student (demo/README.md).
_base_ = './detector.py'

model = dict(
    data_preprocessor=dict(modality=dict(_delete_=True, type='TemporalGradientInput')),
)
