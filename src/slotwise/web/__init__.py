"""HTML pages for people. Each controller turns requests into calls of the services, and their values into pages."""
