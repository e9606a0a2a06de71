"""Evaluations: cases x models, scored by assertions. Values and functions, without Django.

    definition      the content of an evaluation file: prompt, models, assertions, cases
    case_parser     CSV, JSON lines and plain lines -> cases
    file_format     YAML, CSV or JSON lines <-> Definition, with promptfoo's names
    variables       `{{variable}}` in prompts and assertions
    assertions      the assertion types: how they are read and what they check
    json_path       a subset of JSONPath (RFC 9535)
    chat            Definition + case + model -> OpenAI Chat request; response -> ModelResponse
    judge           the request to a judge model and its judgment
    steps           the requests for one result, in order
    scores          checks -> grade of a response -> summary of a model; run against run
    report          results as CSV, JSON and Markdown

The page and `dragoman eval` use the same functions, so that their scores are equal.
"""
