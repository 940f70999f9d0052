"""The dashboard on the admin listener: what it shows is decided here, how it looks is in ``page/``."""
