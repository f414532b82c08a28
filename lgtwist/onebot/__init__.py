"""OneBot 11: events, actions, responses, messages, tokens and signatures. Pure, without a reactor."""
