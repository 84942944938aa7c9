"""A booking service with the files of FastAPI's tutorial of SQL databases."""
