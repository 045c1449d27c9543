"""The OpenAPI document, and the page to try it.

REST framework's views are described by drf-spectacular; everything else is written here and joined to that.

    notation.py   the few words that all of it is written in
    request.py    the body of a completion
    examples.py   bodies to start from
    answers.py    completions, chunks, usage, models
    health.py     the three health answers
    prompts.py    what the workbench does with prompts
    errors.py     the envelope, and an answer for each status
    headers.py    headers, both ways
    stream.py     the event stream and its grammar
    paths.py      the operations
    document.py   what joins them; the document as JSON and YAML
    page.py       the docs page
"""
