CREATE TABLE IF NOT EXISTS shardlane (
	row_key BLOB NOT NULL PRIMARY KEY, -- bytes, so that no encoding or collation plays a part
	value BLOB NOT NULL,
	revision BLOB NOT NULL
) WITHOUT ROWID
