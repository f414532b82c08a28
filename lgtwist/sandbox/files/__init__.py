"""Files that messages of a sandbox carry: fetched, kept, served."""
