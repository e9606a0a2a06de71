"""Spans that agents and frameworks send: values and parsers of the formats. Pure functions."""
