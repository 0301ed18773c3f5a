# The method for AFSD, with a teacher on optical flow.
_base_ = './decomp_of.py'

distill = dict(
    mimics=dict(prediction=dict(loss=dict(_delete_=True, type='AFSDPredictionMimicLoss')))
)
