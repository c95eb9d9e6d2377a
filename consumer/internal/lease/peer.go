package lease

// A Peer is a live member of a group as the others see it.
type Peer struct {
	ID       string   // "<worker>/<incarnation>"
	Cap      int      // its weight: how much it takes beside the others
	Leaving  bool     // it gives up all it holds, and takes nothing
	Streams  []string // those it serves, sorted
	Settings []string // see SettingsOf
	Offers   []Offer  // what it is about to release, sorted by lease
	Chg      int64    // grows when the member has changed the set of leases
}

// An Offer is a lease that its owner is about to release to another member.
type Offer struct {
	Lease string `json:"lease"` // stream + "/" + shard in a member's row; the shard alone in Moves
	To    string `json:"to"`    // the member it is meant for
}
