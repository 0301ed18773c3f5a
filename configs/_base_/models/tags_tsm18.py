# TAGS on TSM18: one transformer block with 4 heads, convolutions of 1024, 512 and 256 channels to the
# masks, as in TAGS's release. `max_steps` comes from the data set. The neck, which the dual-branch neck
# doubles, and classes that do not exclude each other are our choice.
_base_ = './actionformer_tsm18.py'

model = dict(
    head=dict(_delete_=True, type='TAGSHead', in_channels=512),
)
