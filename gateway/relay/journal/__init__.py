"""The request log on its way to the database: journal, segments, metrics."""
