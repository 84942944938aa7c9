"""What the rooms of the API share: access, bodies, parameters, pages of lists and problem details."""
