"""Clients that generators make from the API document."""
