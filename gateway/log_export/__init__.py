"""Export of the request log to object storage or a folder, as JSON lines by day."""
