"""Traces what a translation did to each value of a request, a response or a stream."""
