"""Providers' APIs as tables: which paths are priced, how a request is read, where its fields are."""
