package main

import (
	"errors"
	"fmt"
)

// A load is what a stream holds. The stream's name says it, so that the server has to remember nothing.
type load struct {
	Records int `json:"records_per_page"`
	Size    int `json:"record_bytes"`
	User    int `json:"user_records"` // in the aggregate that each record is; 0: a plain record
	Shards  int `json:"shards"`
	Pages   int `json:"pages_per_shard"`
	Busy    int `json:"busy"` // each so-many-th shard has a page for every call; 0: none
}

// pages are those that performance is measured with. The first page of each shard warms a subject up. Behind it come few of the
// large ones: the library reads a shard as fast as Kinesis serves it, 2 MB/s, so a page of 10 MB is followed five seconds later.
var pages = map[string]load{
	"a": {Records: 10_000, Size: 1000, Shards: 20, Pages: 2},
	"b": {Records: 1000, Size: 1000, Shards: 40, Pages: 4},
	"c": {Records: 500, Size: 100, Shards: 40, Pages: 9},
	"d": {Records: 100, Size: 250, User: 100, Shards: 16, Pages: 2},
	"e": {Records: 1, Size: 100, Shards: 1000, Pages: 1}, // nothing but the first page
}

const nameFormat = "r%d.s%d.u%d.n%d.p%d.b%d"

func (l load) stream() string {
	return fmt.Sprintf(nameFormat, l.Records, l.Size, l.User, l.Shards, l.Pages, l.Busy)
}

func parseLoad(stream string) (l load, err error) {
	if _, err = fmt.Sscanf(stream, nameFormat, &l.Records, &l.Size, &l.User, &l.Shards, &l.Pages, &l.Busy); err != nil {
		return l, err
	}
	if min(l.Records, l.Size, l.Shards, l.Pages) < 1 || min(l.User, l.Busy) < 0 || l.stream() != stream {
		return l, errors.New("no such stream: " + stream)
	}
	return l, nil
}

// perPage is the number of records that a handler gets of the same page of all shards, those in aggregates.
func (l load) perPage() int64 { return int64(l.Records) * int64(max(1, l.User)) * int64(l.Shards) }
