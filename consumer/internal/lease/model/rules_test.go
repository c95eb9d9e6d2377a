package model

// rules are what is modelled, and the ways to get the protocol wrong.
type rules struct {
	records uint8 // of each shard
	faults  uint8 // at most
	pair    bool  // two shards, not one
	lineage bool  // the second is the child of the first

	replyTime       bool // validity counts from the answer to a heartbeat, not from its send time
	noSelfFence     bool // a worker stays valid until it reads that it is dead
	longValidity    bool // valid is no shorter than term
	noFence         bool // a lease is taken over from a member that was quiet for term, not fenced
	fenceAnyway     bool // a fence applies whatever the member's revision
	absentIsDead    bool // a lease may be claimed from a member without a row
	claimSameOwner  bool // a claim applies if the owner is the one that was seen, whatever the revision
	claimAnybody    bool // a claim needs no dead owner
	storeSameOwner  bool // a checkpoint applies if the owner is the same, whatever the revision
	storeAlways     bool // a checkpoint applies whatever the row says
	storeStarted    bool // a checkpoint counts the record that a handler has, too
	resumeByReading bool // after a release of unknown result, a row that is as it was is worked on
	takeOldJoin     bool // a member row that shows an older write of the worker than it knows to have applied is taken for its own
	childEarly      bool // a child is started before its parent has ended
	endFirst        bool // a shard is ended before its child is put
}

func (r rules) leases() int {
	if r.pair || r.lineage {
		return 2
	}
	return 1
}

func (r rules) validity() uint8 {
	if r.longValidity {
		return term
	}
	return valid
}
