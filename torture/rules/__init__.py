"""The rules of the verdict, by their subject. Each takes what a run has kept and yields what was broken."""
