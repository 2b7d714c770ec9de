"""What a vertex does: processes, file actions, sources, merges. One module for each kind of op."""
