"""Runs of evaluations in the background of the server.

    store     the state of runs and results in the database
    call      one Chat request through the relay
    runner    the service that claims runs, one per process
    execution one run, from its claim to its end

A run survives its process: its results are stored as they arrive, and a process that holds
no lease on it any more leaves the missing responses to the next one.
"""
