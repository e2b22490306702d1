"""Attacks on a collector: what a gateway may answer at worst, and what may break around it.

``scripts/attack`` runs them; the suite runs short ones. Each attack has a gateway that answers well beside whatever is
attacked: none of its polls may be lost or stored twice, and no secret may reach anybody else.
"""
