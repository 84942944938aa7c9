"""HTML pages for people. Each controller turns a request into calls of the services, and the result into a page."""
