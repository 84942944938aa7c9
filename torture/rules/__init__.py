"""The rules of the verdict, by subject. Each takes the records of a run and yields its violations."""
