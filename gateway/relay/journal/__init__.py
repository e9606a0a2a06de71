"""The request log until it is in the database: journal, segments, metrics."""
