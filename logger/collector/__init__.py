"""Polls on wall-clock slots, saves, keeps the rollups up to date: gateway -> store -> rollups.

Never imports pandas.
"""
