"""The JSON API. Each controller turns requests into calls of one service, and results into answers."""
