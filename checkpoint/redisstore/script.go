package redisstore

import (
	"crypto/sha1" // Redis names scripts by it
	"encoding/hex"
)

// A script is Lua that runs on the server in one step. KEYS are the hash of the rows and the sorted set of their keys;
// ARGV[1] of the scripts for one row is its key. In the hash, the revision stands before the value.
//
// The first line makes Redis take a script for one that writes, which a replica refuses. Those that only read may run when
// the memory is full.
//
// An error inside a script does not undo what it did before. So the write to the rows comes last, or what follows cannot
// fail: whatever error a script ends with, the row is as it was. The index may then name a row that does not exist, which
// list leaves out.
type script struct{ text, hash string }

func newScript(text string) script {
	sum := sha1.Sum([]byte(text))
	return script{text, hex.EncodeToString(sum[:])}
}

const getText = `#!lua flags=allow-oom
return redis.call('HGET', KEYS[1], ARGV[1])`

// ARGV: row, revision that it must be at, revision afterwards, value.
const swapText = `#!lua
local row = redis.call('HGET', KEYS[1], ARGV[1])
if (row and string.sub(row, 1, #ARGV[3]) or '') ~= ARGV[2] then return 0 end
redis.call('ZADD', KEYS[2], 0, ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3] .. ARGV[4])
return 1`

// ARGV: row, revision that it must be at, length of revisions.
const deleteText = `#!lua flags=allow-oom
local row = redis.call('HGET', KEYS[1], ARGV[1])
if (row and string.sub(row, 1, ARGV[3]) or '') ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.pcall('ZREM', KEYS[2], ARGV[1])
return 1`

// ARGV: first key and end of the range, as ZRANGEBYLEX has them, and the number of rows of a page. An index that somebody
// has removed is made anew.
//
//nolint:dupword // end after end is Lua
const listText = `#!lua flags=allow-oom
if redis.call('HLEN', KEYS[1]) > redis.call('ZCARD', KEYS[2]) then
  for _, key in ipairs(redis.call('HKEYS', KEYS[1])) do redis.call('ZADD', KEYS[2], 0, key) end
end
local keys = redis.call('ZRANGEBYLEX', KEYS[2], ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])
if #keys == 0 then return {keys, keys} end
return {keys, redis.call('HMGET', KEYS[1], unpack(keys))}`
