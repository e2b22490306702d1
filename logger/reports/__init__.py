"""Rollups in, tables for people out. Reads the views, so reports and SQL agree to the digit."""
