"""How lifetime counters were counted first: what every later way has to agree with.

Frozen: it is compared with, never changed, and needs nothing of the product.
"""
