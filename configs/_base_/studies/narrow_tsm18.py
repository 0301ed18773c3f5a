# The backbone of the quickstart with twice its channels: 32 in the first stage.
detector_options = {
    'backbone.backbone.type': 'NarrowResNetTSM',
    'backbone.backbone.base_channels': 32,
    'backbone.backbone.strides': (2, 2, 2, 2),
    'neck.in_channels': 256,
}
