"""A person's own data over the API."""
