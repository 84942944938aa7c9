"""Housekeeping beside the requests. Any number of processes may do it at once; none of it is needed to be right."""
