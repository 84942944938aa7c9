"""Accounts, passwords and the tokens that log-ins give out."""
