# The method for G-TAD: the motion branch mimics the teacher's score maps, starts and ends.
_base_ = './decomp_tg.py'

distill = dict(
    mimics=dict(prediction=dict(loss=dict(_delete_=True, type='GTADPredictionMimicLoss')))
)
