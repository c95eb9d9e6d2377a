CREATE TABLE IF NOT EXISTS shardlane (
	row_key bytea PRIMARY KEY, -- bytes, so that no encoding or collation plays a part
	value bytea NOT NULL,
	revision bytea NOT NULL
) WITH (fillfactor = 50) -- room for new versions of a row beside it, as rows change often
