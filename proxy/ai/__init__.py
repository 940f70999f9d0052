"""AI calls: what a request may cost at most, what an answer said was used, and what that costs. No IO at all.

The gateway reads a request with ``dialects.reading``, edits it with ``dialects.edits``, holds what ``bounds`` says,
passes the answer through a ``usage.reader``, and settles at what ``costs`` makes of it.
"""
