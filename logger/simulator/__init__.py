"""A gateway made of arithmetic: for the demo, for tests, and to try envoylog without hardware.

Written from what gateways answer, not from our client: it imports nothing of ``logger.gateway``.
"""
