"""From nothing to a first stored poll: finds gateways, tries what is typed on them, and writes the configuration.

Walk: cli.setup -> dialogue -> trial, access -> draft
"""
