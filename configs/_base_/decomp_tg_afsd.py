# The method for AFSD: the motion branch mimics the teacher's coarse and refined predictions.
_base_ = './decomp_tg.py'

distill = dict(
    mimics=dict(prediction=dict(loss=dict(_delete_=True, type='AFSDPredictionMimicLoss')))
)
