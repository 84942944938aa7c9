"""What is kept about a person: given to them, and erased."""
