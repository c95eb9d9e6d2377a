CREATE TABLE IF NOT EXISTS shardlane (
	row_key VARBINARY(1024) NOT NULL PRIMARY KEY, -- bytes, so that no encoding or collation plays a part
	value MEDIUMBLOB NOT NULL, -- a BLOB ends one byte below 64 KiB
	revision VARBINARY(64) NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC
