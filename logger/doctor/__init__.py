"""Looks at an installation as a whole: what is wrong, what to do about it, and a recording for who helps.

Walk: examination -> configuration, machine, storage, gateways, measurements -> findings; bundle -> redaction
"""
