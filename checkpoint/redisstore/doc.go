// Package redisstore keeps the rows of a consumer in Redis 7, as a checkpoint.Store that any number of workers share.
//
//	rdb := redis.NewClient(&redis.Options{Addr: "redis:6379"})
//	store := redisstore.New(rdb, "shardlane")
//	c, err := consumer.New(client, "orders", handle, consumer.WithGroup("billing"), consumer.WithCheckpointer(store))
//
// All rows of a prefix are in two keys: {prefix}:rows, a hash, and {prefix}:index, the same row keys as a sorted set. The
// braces are part of the names, and keep both in one slot of a Redis Cluster. Braces and percent signs inside the prefix
// are written as %7B, %7D and %25. Several groups can share a prefix.
//
// # Durability
//
// The store is as durable as the Redis behind it. What Redis acknowledges and then forgets, the store forgets too:
//
//   - With appendfsync always, a crash loses nothing. With appendfsync everysec, the default of an append-only file,
//     a crash loses about a second of writes; with snapshots alone, everything since the last one.
//   - Replication is asynchronous. A failover, by Sentinel, by Redis Cluster or by a cloud's service, loses the
//     acknowledged writes that the new primary had not received. WAIT does not change that: it tells how many replicas
//     have a write, and a replica without it can be promoted all the same.
//   - With min-replicas-to-write 1, a primary that was cut off from its replicas refuses every call of this store,
//     Get included, after min-replicas-max-lag. Until then it can still accept writes that will be lost.
//
// A worker whose rows went back in time notices: the older revision is no longer the one that it holds, its next write
// gets ErrConflict, and it reads the row again. Records above the checkpoint that is left are delivered again.
// If two workers must never own a shard at the same time, not even after a failover, use a store that replicates
// synchronously.
//
// maxmemory-policy must be noeviction. Any other policy but the volatile ones may evict the rows, which have no expiry.
// With noeviction, a full Redis refuses writes and still answers reads.
//
// # Cost
//
// Get, Swap and Delete are one script and one round trip each, in O(log n) of the rows of the prefix. List is one round
// trip for each 500 rows that it returns, and does not look at others. A row takes its key twice, its value and about
// 250 bytes. All rows of a prefix are on one node of a Redis Cluster; give groups prefixes of their own to spread them.
//
// # Permissions
//
// This line makes a user that can do what the store does, and nothing else, for the prefix shardlane:
//
//	ACL SETUSER shardlane on >password resetkeys ~{shardlane}:* resetchannels -@all +evalsha +eval +hget +hmget +hset +hdel +hlen +hkeys +zadd +zrem +zcard +zrangebylex
//
// A client of a Redis Cluster needs as well:
//
//	ACL SETUSER shardlane +cluster|slots +asking
//
// With ReadOnly it also needs +readonly and +command. A client with a DB other than 0 needs +select.
//
// # Clients
//
// Every call runs on the primary: it is a script that a replica refuses, whatever the ReadOnly and Route options say. A
// *redis.Ring is refused, because it gives the rows of a lost server to the next one.
//
// go-redis repeats commands whose answer was lost. The store prevents that for its writes with every client: the second
// attempt would take the success of the first for a conflict. Only a command that the server has refused, such as MOVED, is
// sent again.
//
// Calls on a *redis.Client end at the deadline of their context, and do not call its hooks. Set ContextTimeoutEnabled in the
// options of every other client; without that its ReadTimeout decides. A context that is cancelled while a call waits for
// its answer does not end it.
package redisstore
