"""Writers of results: each makes the whole of its output, or nothing."""
