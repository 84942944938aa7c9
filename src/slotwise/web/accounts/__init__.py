"""Log-in, a person's account, and the clinic's users."""
