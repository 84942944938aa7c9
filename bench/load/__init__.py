"""Load generators, each as one function that runs a real one and returns what it counted."""
