"""Patterns for ILIKE."""


def contains(text: str | None) -> str | None:
    """A pattern that matches every value that contains `text` literally; None for no text."""
    if not text:
        return None
    escaped = text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return f"%{escaped}%"
