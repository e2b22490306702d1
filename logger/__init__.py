"""envoylog: what an Enphase gateway measured, kept, and turned into energy that can be trusted."""

__version__ = "0.1.0"
