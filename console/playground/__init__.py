"""The playground: plans, runs and results, without HTTP.

    plan_parser      page JSON -> Plan (module plan)
    client_request   Plan -> client requests; translation: a response in another dialect
    run, column_run  runs a Plan; one response of one column
    events           event stream of a run: live, stored, replayed
    results          events -> ColumnResponse of each response
    verdicts         checks of structured output and tool calls
    column_stats, scoreboard                        several responses compared
    code, export, prefill, page_data, budget, history    other features of the page

Runs go through `gateway.relay.run.playground_calls`, like every internal call, and are logged.
"""
