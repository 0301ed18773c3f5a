# A head small enough to train from scratch on two CPU cores.
_base_ = './actionformer_tsm18_small.py'

model = dict(
    head=dict(
        _delete_=True,
        type='TadTRHead',
        in_channels=128,
        embed_dims=128,
        hidden_dims=256,
        num_queries=20,
        num_encoder_layers=2,
        num_decoder_layers=2,
        num_heads=4,
    ),
)
