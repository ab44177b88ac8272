package store

// The database. Times are microseconds since the Unix epoch. Every statement of this package
// passes values as parameters: names and notes may hold anything.

// schemaVersion is PRAGMA user_version of a database with this schema.
const schemaVersion = 3

// applicationID marks the file as weir's: "weir" in ASCII.
const applicationID = 0x77656972

const schema = `
-- Streams of events, and how far each is stored.
CREATE TABLE sources (
	id       INTEGER PRIMARY KEY,
	name     TEXT NOT NULL UNIQUE,
	settings TEXT NOT NULL,
	events   INTEGER NOT NULL DEFAULT 0, -- ordinal of the last event that is stored
	digest   INTEGER NOT NULL DEFAULT 0, -- of all events up to it
	done     INTEGER NOT NULL DEFAULT 0,
	newest   INTEGER,                    -- time of the newest window or statistics
	stats    TEXT                        -- the last ones, JSON
);
-- Captures that sources read: each belongs to one.
CREATE TABLE captures (
	identity TEXT PRIMARY KEY,
	name     TEXT NOT NULL,
	source   INTEGER NOT NULL REFERENCES sources(id)
) WITHOUT ROWID;
CREATE TABLE models (
	id  INTEGER PRIMARY KEY,
	ref TEXT NOT NULL UNIQUE             -- NAME@VERSION
);
-- Rows that are not in a segment yet, a batch for each Append.
CREATE TABLE pending (
	id     INTEGER PRIMARY KEY AUTOINCREMENT,
	kind   TEXT NOT NULL,                -- flows, windows
	source INTEGER NOT NULL,
	count  INTEGER NOT NULL,             -- rows
	first  INTEGER NOT NULL,             -- lowest and highest time of a row
	last   INTEGER NOT NULL,
	told   INTEGER NOT NULL,             -- time of the stream when it came
	data   BLOB NOT NULL
);
-- The Parquet files that are part of the store.
CREATE TABLE segments (
	id     INTEGER PRIMARY KEY AUTOINCREMENT,
	kind   TEXT NOT NULL,
	file   TEXT NOT NULL UNIQUE,         -- relative to the directory
	source INTEGER NOT NULL,
	count  INTEGER NOT NULL,
	bytes  INTEGER NOT NULL,
	crc    INTEGER NOT NULL,             -- CRC-32C of the file
	first  INTEGER NOT NULL,             -- lowest and highest time of a row
	last   INTEGER NOT NULL
);
CREATE INDEX segments_last ON segments (kind, last);
CREATE TABLE scores (
	start     INTEGER NOT NULL,
	source    INTEGER NOT NULL,
	length    REAL NOT NULL,             -- seconds
	packets   INTEGER NOT NULL,
	score     REAL,                      -- null: not scored
	threshold REAL NOT NULL,
	anomalous INTEGER NOT NULL,
	lost      INTEGER NOT NULL,
	unsure    INTEGER NOT NULL,          -- the score reaches the threshold, but perhaps for lost packets alone
	model     INTEGER NOT NULL,
	PRIMARY KEY (start, source, model)
) WITHOUT ROWID;
CREATE TABLE incidents (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	source     INTEGER NOT NULL,
	first      INTEGER NOT NULL,         -- start of the first anomalous window
	last       INTEGER NOT NULL,         -- start of the last one
	stop       INTEGER NOT NULL,         -- end of the last one
	alerts     INTEGER NOT NULL,
	peak       REAL NOT NULL,            -- highest score
	peak_alert INTEGER NOT NULL          -- number of the alert that has it
);
CREATE INDEX incidents_stop ON incidents (stop);
CREATE TABLE alerts (
	incident INTEGER NOT NULL,
	number   INTEGER NOT NULL,           -- within the incident, from 1
	start    INTEGER NOT NULL,
	score    REAL NOT NULL,
	body     TEXT NOT NULL,              -- the object "alert" of the event, JSON
	PRIMARY KEY (incident, number)
);
CREATE INDEX alerts_start ON alerts (start);
-- What people made of alerts: the newest row that applies holds.
CREATE TABLE triage (
	id       INTEGER PRIMARY KEY AUTOINCREMENT,
	incident INTEGER NOT NULL,
	number   INTEGER NOT NULL,           -- 0: the whole incident
	verdict  TEXT NOT NULL,              -- open, confirmed, dismissed
	note     TEXT NOT NULL,
	who      TEXT NOT NULL,
	at       INTEGER NOT NULL
);
CREATE INDEX triage_incident ON triage (incident, number);
-- Sums of the flows of a segment by minute and by hour.
CREATE TABLE rollups (
	dimension TEXT NOT NULL,             -- app, host, port
	span      INTEGER NOT NULL,          -- 60 or 3600 seconds
	time      INTEGER NOT NULL,          -- start of the minute or hour
	segment   INTEGER NOT NULL,
	totals    TEXT NOT NULL              -- JSON: [[name, novel, flows, packets, bytes, payload], ...]; name null: the rest
);
CREATE INDEX rollups_time ON rollups (dimension, span, time);
`
