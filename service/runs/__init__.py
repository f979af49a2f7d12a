"""Load tests, seen from the server's side: runs, reports, comparison and gate."""
