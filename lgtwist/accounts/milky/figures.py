"""The figures that accounts over Milky have of their own: their names, and what they count."""

from __future__ import annotations

from lgtwist.hub.interfaces import Figure

#: Each once, with its labels.
MILKY_FIGURES: dict[str, Figure] = {
    name: Figure(name, help_text, labels, 0.0)
    for name, help_text, labels in (
        ("milky_sequence_gaps", "Jumps of the sequence numbers of a conversation by more than 1", {}),
        ("milky_back_filled_events", "Events that were fetched after a break of the event stream", {}),
        ("milky_duplicates", "Messages that came twice", {}),
        ("milky_own_messages", "Messages of the account itself that were dropped", {}),
        ("milky_unknown_events", "Events that OneBot 11 has nothing for", {"type": ""}),
        ("milky_unknown_segments", "Segments that became a text", {"type": ""}),
    )
}
