# Follows ../baseline/gtad_tsm18_thumos.py, whose header names the release.
# Differences: those listed there; the input is the temporal gradient.
_base_ = '../baseline/gtad_tsm18_thumos.py'

model = dict(
    data_preprocessor=dict(modality=dict(_delete_=True, type='TemporalGradientInput')),
)
