// Package dynamostore keeps progress and ownership in a DynamoDB table, for workers on many machines.
//
//	table := dynamostore.New(dynamodb.NewFromConfig(cfg), "shardlane")
//	if err := table.Create(ctx); err != nil { // or make the table with your own tools
//		return err
//	}
//	c, err := consumer.New(client, "orders", handle, consumer.WithGroup("billing"), consumer.WithCheckpointer(table))
//
// One table serves all groups. It has the partition key p and the sort key k, both strings; the values of its rows can be
// read in the console.
//
// # What is safe
//
// A write that is acknowledged is durable in three availability zones, and everybody sees it at once: writes are
// conditional, and single rows are read consistently. A Store sends each request once, whatever the retries of its client,
// and waits 5 s for the answer at most. [checkpoint.ErrConflict] is DynamoDB's answer to that very request. A request that
// DynamoDB refused, because it throttles or denies it, say, is [checkpoint.ErrNotApplied]. After any other error, a lost
// reply or a status of 500, the write may be there.
//
// What can be lost:
//   - Global tables, in their usual mode, copy rows to other regions within about a second and let the last writer win.
//     Two regions that write the same rows lose acknowledged writes, and two workers may own one shard. Let all workers of
//     a group use one region. After a failover to another one, about a second of writes is gone: records are delivered
//     again. Stop the workers of the old region first. With multi-region strong consistency nothing is lost.
//   - A table that is restored from a backup turns progress back. Stop all workers first.
//   - A table that is deleted takes all progress with it, and reading begins anew at the starting position. Switch
//     deletion protection on.
//
// A worker that runs, and sees a row go back behind what it has written itself, stops that shard and tells it as
// StoreRollback. Rows must not expire: give the table no TTL.
//
// # What it costs
//
// A row's size is that of its value and key, and about 50 bytes more. It is written in units of 1 KB and read in units of
// 4 KB, each begun unit counted; most rows fit into one.
//
//	Swap, Delete       1 write unit per KB of the larger of the old and the new row; the same where it conflicts
//	Get                1 read unit per 4 KB, 1 where there is no row
//	List               half a read unit per 4 KB of all rows together, at least half a unit per partition
//	the first call     1 read unit for the number of buckets
//
// On demand, in us-east-1, a million write units cost $0.625 and a million read units $0.125 at the time of writing. A
// worker writes its heartbeat every 2.5 s, and for each shard that makes progress a checkpoint every 10 s: one worker with
// one shard costs about $0.9 a month, and 1,000 shards of 50 workers about $200.
//
// # Buckets
//
// A partition takes about 1,000 write units a second. The rows of a group share one partition, and a shard that makes
// progress writes one unit in 10 s: up to 5,000 shards, one bucket is right and leaves half of the partition for a start
// or a deploy. Beyond that, give [WithBuckets] one bucket per 5,000 shards before the table is first used; the lease rows
// of each group are then spread over that many partitions by a hash, and a list of them asks each of these. The number
// stays: to change it, stop the workers and move each group to a new table with [checkpoint.Copy].
//
// List asks the partitions of one group, as every prefix that begins with a group and a slash does. Shorter ones, which
// the library never uses, read the whole table.
//
// # Permissions
//
// This is all that a Store calls. CreateTable is needed by Create alone, and Scan for lists of all groups.
//
//	{
//	  "Version": "2012-10-17",
//	  "Statement": [
//	    {
//	      "Effect": "Allow",
//	      "Action": [
//	        "dynamodb:GetItem",
//	        "dynamodb:PutItem",
//	        "dynamodb:DeleteItem",
//	        "dynamodb:Query",
//	        "dynamodb:Scan",
//	        "dynamodb:DescribeTable",
//	        "dynamodb:CreateTable"
//	      ],
//	      "Resource": "arn:aws:dynamodb:*:*:table/shardlane"
//	    }
//	  ]
//	}
//
// Whoever can write the rows can make records be skipped.
package dynamostore
