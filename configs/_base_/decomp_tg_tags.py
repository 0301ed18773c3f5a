# The method for TAGS: the motion branch mimics the classes and masks that the teacher gives snippets.
_base_ = './decomp_tg.py'

distill = dict(
    mimics=dict(prediction=dict(loss=dict(_delete_=True, type='MaskPredictionMimicLoss')))
)
