"""Between the session and the views: what is shown where, and what is said where nothing is."""
