"""Files that messages and actions refer to: fetched, stored and served."""
