"""Delivery at least once: one bot, one account.

Other rooms use :class:`Delivery` of ``delivery.py``; what it asks of them is in ``interfaces.py``: a
journal is an :class:`IJournal`, a connection an :class:`IEventSink`. What both speak of: :class:`Batch`,
:class:`Page`, :data:`Position`, :class:`Watermark`, :class:`EncodedBatch`, :class:`ReplayPolicy`,
:class:`Redelivery`, :class:`Redelivered`, :class:`RefusedEvent`.

The way of an event:

1. A batch is durable: it is made an :class:`EncodedBatch` for all bots, and given to each
   :meth:`Sending.committed` (``sending.py``).
2. If the bot keeps up, its filter decides at once (``judging.py``), and what passes is handed to the active
   sink (``sinks.py``) and is under way (``window.py``).
3. If not, it stays in the journal, and :meth:`Sending.pump` comes to it later: from memory, or by a page of
   the disk (``read_ahead.py``), perhaps in a later turn or after a delay (``waits.py``), and as far as the
   bot wants the past (``replay.py``, ``newest.py``). What the journal lost meanwhile is counted
   (``missing_events.py``, ``gaps.py``).
4. The sink confirms it, :meth:`Sending.confirmed`, and the cursor moves (``cursor.py``). If the connection
   breaks instead, sending begins again behind the cursor; an event that the bot refused is sent alone, and
   skipped in the end (``refusals.py``, ``refused_event.py``).

Beside that the operator skips what waits, or has one event sent again (``redeliveries.py``,
``redelivery.py``). What is counted and logged: ``counters.py``, ``log.py``.
"""
