"""What stands before the edges: the worker processes and those that watch over them. It knows no use case."""
