-- The journal's tables, version 1. Written by one process, through one connection.
PRAGMA application_id = 1818719351;  -- "lgtw"
PRAGMA user_version = 1;

-- One row for each group commit. Positions begin at 1 and are never used again.
CREATE TABLE chunk (
    first INTEGER PRIMARY KEY,   -- the position of its first event
    last INTEGER NOT NULL,       -- and of its last; the positions between them follow without a gap
    newest INTEGER NOT NULL,     -- when the last was taken in: milliseconds since the epoch
    runs BLOB NOT NULL,          -- for each account in it three int64: self_id, events, events ever before
    times BLOB NOT NULL,         -- for each event one int64: milliseconds since the epoch
    lengths BLOB NOT NULL,       -- for each event one uint32: bytes
    payload BLOB NOT NULL,       -- the events, one behind the other
    checksum INTEGER NOT NULL    -- CRC-32 of the four before
);

-- How far each bot has come with each account.
CREATE TABLE cursor (
    bot TEXT NOT NULL,
    account INTEGER NOT NULL,
    position INTEGER NOT NULL,   -- of the last event that it has
    ordinal INTEGER NOT NULL,    -- how many events of the account were written up to there
    time INTEGER NOT NULL,       -- when that event was taken in
    seen INTEGER NOT NULL,       -- when the configuration named this bot last
    PRIMARY KEY (bot, account)
) WITHOUT ROWID;

CREATE TABLE account (
    account INTEGER PRIMARY KEY,
    total INTEGER NOT NULL,      -- events ever written, up to saved_to
    trimmed INTEGER NOT NULL     -- of these, gone
);

CREATE TABLE state (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    saved_to INTEGER NOT NULL,   -- chunks behind this position are not counted in account.total yet
    trimmed_to INTEGER NOT NULL  -- chunks up to this position are gone
);
INSERT INTO state VALUES (1, 0, 0);

-- Events that a bot refused until they were skipped.
CREATE TABLE refused (
    id INTEGER PRIMARY KEY,
    bot TEXT NOT NULL,
    account INTEGER NOT NULL,
    position INTEGER NOT NULL,
    time INTEGER NOT NULL,       -- when the event was taken in
    skipped INTEGER NOT NULL,    -- when it was skipped
    reason TEXT NOT NULL,
    size INTEGER NOT NULL,
    payload BLOB NOT NULL        -- its first bytes
);
