"""Log-in and registration over the API."""
