"""Values of one request: call, log record, deadlines, usage, recording."""
