"""The values of one request on its way: call, log record, deadlines, usage, recording."""
