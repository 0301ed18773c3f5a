# A head small enough to train from scratch on two CPU cores.
_base_ = './actionformer_tsm18_small.py'

# A tenth of the learning rate for what places samples and references, as TadTR has it.
slow_weights = {
    'sampling_offsets': dict(lr_mult=0.1),
    'decoder.reference': dict(lr_mult=0.1),
}

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
