"""The use cases. They take domain values, own the transactions and know neither HTTP nor HTML."""
