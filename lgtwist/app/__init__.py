"""The configuration as a whole, and the tree of services that is made from it."""
