"""`acytoo serve`: any OpenAI-compatible server, or none, behind the wire that this package's clients speak.

A request comes in by `app`, which asks `access` whether it may and `wire` what it says; `upstream` sends it on, or
`offline` answers it. What an upstream sends becomes events by `sse`, objects by `completions`, and text and an end by
`chunks`; the rule for all of it: a reply that broke is never ended as if it were whole. Needs the extra `[serve]`.
"""
