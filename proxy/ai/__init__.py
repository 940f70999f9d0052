"""AI calls: what a request may cost at most, what an answer said was used, and what that costs. No IO at all.

The gateway reads a request with ``dialects.reading``, holds what ``bounds`` says, passes the answer through a reader of
``usage``, and settles at what ``prices`` makes of it.
"""
