"""lgtwist.testing: what authors of bots test with."""
