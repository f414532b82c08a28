"""What is counted of one bot's delivery of one account. Pure."""

from __future__ import annotations

from attrs import define

from lgtwist.delivery.replay import Skipped


@define
class DeliveryCounters(Skipped):
    """What happened to one bot's delivery, since the start."""

    sent: int = 0
    confirmed: int = 0
    refused: int = 0  # skipped, for the bot refused them
    expired: int = 0  # the journal did not keep them so long
    damaged: int = 0  # could not be read
    skipped_to_end: int = 0  # by the operator
