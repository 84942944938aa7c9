"""What the rooms of the pages share: access, forms, times, words and assets."""
