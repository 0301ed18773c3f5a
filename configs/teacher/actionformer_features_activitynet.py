# Follows ../baseline/actionformer_features_activitynet.py, whose header names the release.
# Differences: those listed there; the input is the flow half of the features.
_base_ = '../baseline/actionformer_features_activitynet.py'

model = dict(data_preprocessor=dict(modality=dict(channels=_base_.flow_channels)))
