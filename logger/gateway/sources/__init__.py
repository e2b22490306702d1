"""Documents in, readings out: one module per kind of reading; none fetches, logs or saves."""
