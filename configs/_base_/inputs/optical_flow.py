# A detector that reads optical flow: two channels; pretrained stems start from the mean over RGB.
flow_detector = dict(
    data_preprocessor=dict(modality=dict(_delete_=True, type='OpticalFlowInput')),
    backbone=dict(in_channels=2, stem_init='average'),
)
