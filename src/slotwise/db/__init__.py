"""PostgreSQL. Only this package imports the driver."""
