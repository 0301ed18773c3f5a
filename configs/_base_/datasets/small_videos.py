# Data sets small enough to train on two CPU cores from video files: windows overlap by half, nothing
# shorter than half a second is detected.
_base_ = './tad.py'

train_dataloader = dict(batch_size=2, num_workers=1, dataset=dict(source='video', overlap=0.5))
val_dataloader = dict(batch_size=2, num_workers=1, dataset=dict(source='video', overlap=0.5))
test_dataloader = val_dataloader

# Votes, unlike ActionFormer: the published numbers of these data sets were measured so.
val_evaluator = dict(post_processor=dict(min_length=0.5, voting_iou=0.7))
test_evaluator = val_evaluator
