"""The systemd service: its user, folders and unit, how it is replaced by another version, and how it is.

Walk: cli.service -> install -> unit, machine; state for those who only want to look.
"""
