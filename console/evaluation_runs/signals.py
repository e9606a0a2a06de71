"""Signals of evaluation runs within a process."""

from django.dispatch import Signal

# A run was started or resumed, and is committed: a process may claim it.
run_ready = Signal()
