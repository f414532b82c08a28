"""Who is in a sandbox, what was said there, and what happens. Pure."""
