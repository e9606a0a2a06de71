"""The cost of requests: spend reports and reconciliation with provider bills."""
