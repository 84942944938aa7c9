-- name: analyze_grown_tables
-- Gives the planner new statistics of small tables that have grown fast, and tells how many there are.
SELECT analyze_grown_tables() AS tables;
