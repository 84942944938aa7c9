"""Shared by all rooms of the API: access, bodies, parameters, paging and problem details."""
