"""Finding a time, and the clinic's doctors and slots."""
