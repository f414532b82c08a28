"""The language: OneBot 11 events, actions, responses and tokens. Pure, without a reactor."""
