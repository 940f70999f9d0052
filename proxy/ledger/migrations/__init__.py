"""The ledger's history, a file a step, walked by Alembic. A step that was released is never edited."""
