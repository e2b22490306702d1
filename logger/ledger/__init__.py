"""Registers in, energy out: pure arithmetic on whole milliwatt-hours and epoch seconds.

Standard library only; knows nothing of tables or gateways.
"""
