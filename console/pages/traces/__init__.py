"""Traces of agents: the list, one trace as a waterfall, one span."""
