"""The playground: plans, runs and results, without HTTP.

    plan_parser      page JSON -> Plan (module plan)
    client_request   Plan -> client requests; translation: an answer in another dialect
    run, column_run  runs a Plan; one answer of one column
    events           event stream of a run: live, stored, replayed
    results          events -> AnswerResult of each answer
    verdicts         checks of structured output and tool calls
    column_stats, scoreboard                        several answers compared
    code, export, prefill, page_data, budget, history    other features of the page

Runs go through `gateway.relay.run.playground_calls`, like every internal call, and are logged.
"""
