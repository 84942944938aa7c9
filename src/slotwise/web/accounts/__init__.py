"""Log-in, a person's own account, and the clinic's users."""
