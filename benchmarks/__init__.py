"""How fast lgtwist is, beside what people would build on the usual libraries: see README.md here."""
