"""HTTPS and JSON in, readings out. Knows no database.

``client.Gateway`` is the whole outside; it may import settings, readings, clock and errors.
"""
