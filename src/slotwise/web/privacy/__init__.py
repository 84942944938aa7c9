"""What is kept about a person, on pages."""
