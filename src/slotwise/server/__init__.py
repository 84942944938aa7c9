"""The server in front of API and pages: worker processes, their supervisor, connections. It knows no use case."""
