"""The API of accounts: registration and log-in."""
