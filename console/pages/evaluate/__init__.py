"""`/console/evaluate`: evaluations, their cases, and the results of their runs."""
