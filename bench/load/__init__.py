"""Load generators: each module runs a well-known tool and returns its counts."""
