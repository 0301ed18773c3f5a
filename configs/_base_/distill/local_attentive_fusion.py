# The method's fusion of the appearance and the motion branch.
fusion = dict(type='LocalAttentiveFusion', window=None, residual=True)
