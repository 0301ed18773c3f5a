# G-TAD's head for THUMOS'14 on TSM18: width 256, 3 semantic neighbours, 32 groups of 4, 16 + 16
# samples per pair, extension 0.5. `max_duration` comes from the data set. The weights of the map
# losses are those of G-TAD's release for THUMOS'14 (classification 10, regression 1; the other way
# round in the one for ActivityNet). One class map per class, and no external classifier: our choice.
_base_ = './actionformer_tsm18.py'

model = dict(
    neck=dict(out_channels=256),
    head=dict(_delete_=True, type='GTADHead', in_channels=256),
)
