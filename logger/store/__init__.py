"""Readings in, rows out and back: tables, migrations, and all that differs between engines."""
