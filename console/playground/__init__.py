"""The playground: what a run is and does, without HTTP.

    document   the page's JSON -> Plan (columns)    wire       Plan -> requests and translation
    run, lane  a Plan at work, one answer of it     events     the stream, kept and re-read
    takes      events -> what each answer came to   verdicts   schema and tools
    repeat, matrix, scoreboard                      several answers compared
    code, export, share, boot, budget               what the page offers beside

Runs go through `gateway.relay.inside`, the way of any agent's call, and land in the log.
"""
