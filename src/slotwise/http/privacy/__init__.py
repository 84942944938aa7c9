"""The API of a person's own data."""
