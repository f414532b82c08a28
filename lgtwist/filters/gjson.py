"""Paths of gjson, as far as filters have them."""
