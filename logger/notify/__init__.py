"""Tells people what needs them: a thread beside the collector that never delays a poll.

Walk: sources -> outbox -> notifier -> delivery -> courier
"""
