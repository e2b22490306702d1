"""Samples in, energy tables out: energy_15min, energy_hourly, energy_daily, inverter_daily.

One code path for now, later and again: live, catching up after a week off, and a rebuild differ only in where they
start.
"""
