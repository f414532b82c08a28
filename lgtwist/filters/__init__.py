"""Which events a bot gets: conditions of ``events``, and filters in go-cqhttp's and LLBot's grammar. Pure."""
