package lease

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// A status is what a member row says of its incarnation.
type status string

const (
	alive   status = "ALIVE"
	leaving status = "LEAVING" // alive, and gives up what it holds
	lost    status = "LOST"    // a lease named it and it had no row
	dead    status = "DEAD"    // for good: whoever holds this incarnation's leases may be replaced
)

// A member is the row of one incarnation of a worker. Its revision in the store
// is the counter of its heartbeats.
type member struct {
	v       int
	by      string // as Row.By
	st      status
	held    int // leases
	weight  int
	offers  []Offer
	streams []string
	// settings are those of streams, one for each, as hashes; none in a row of an
	// older version.
	settings []string
	chg      int64
	more     map[string]json.RawMessage // as Row.More
}

// encode returns the JSON form of m: equal rows give equal bytes.
func (m member) encode() ([]byte, error) {
	w := object{more: m.more}
	w.add("v", m.v, true)
	w.add("by", m.by, true)
	w.add("st", m.st, true)
	w.add("n", m.held, m.held != 0)
	w.add("cap", m.weight, m.weight != 1)
	w.add("offer", m.offers, len(m.offers) > 0)
	w.add("streams", m.streams, len(m.streams) > 0)
	w.add("sets", m.settings, slices.ContainsFunc(m.settings, func(s string) bool { return s != "" }))
	w.add("chg", m.chg, m.chg != 0)
	return w.bytes()
}

// decodeMember reads what encode wrote, now or in another version. Its error
// wraps ErrRowVersion or ErrRowCorrupt.
func decodeMember(value []byte) (member, error) {
	var m member
	f, err := parse(value, &m.v)
	if err != nil {
		return member{}, err
	}
	f.take("by", &m.by)
	f.take("st", &m.st)
	f.take("n", &m.held)
	f.take("cap", &m.weight)
	f.take("offer", &m.offers)
	f.take("streams", &m.streams)
	f.take("sets", &m.settings)
	f.take("chg", &m.chg)
	switch m.st {
	case alive, leaving, lost, dead:
	default:
		if f.err == nil {
			f.err = fmt.Errorf("%w: a member that is %q", ErrRowCorrupt, string(m.st))
		}
	}
	if f.err != nil {
		return member{}, f.err
	}
	m.weight = max(m.weight, 1)
	m.more = f.rest()
	return m, nil
}

// peer returns what the row says to the planner.
func (m member) peer(id string) Peer {
	return Peer{ID: id, Cap: m.weight, Leaving: m.st == leaving, Streams: m.streams, Settings: m.settings, Offers: m.offers, Chg: m.chg}
}

// memberKey returns the key of the row of the member id, "<worker>/<incarnation>",
// in group; of "", the prefix of all of them.
func memberKey(group, id string) string {
	prefix := url.PathEscape(group) + "/member/"
	if id == "" {
		return prefix
	}
	slash := strings.LastIndexByte(id, '/')
	return prefix + url.PathEscape(id[:max(slash, 0)]) + "/" + url.PathEscape(id[slash+1:])
}

// memberID returns the member whose row has key.
func memberID(group, key string) string {
	parts := strings.SplitN(strings.TrimPrefix(key, memberKey(group, "")), "/", 2)
	for i, p := range parts {
		if plain, err := url.PathUnescape(p); err == nil {
			parts[i] = plain
		}
	}
	return strings.Join(parts, "/")
}

// SettingsOf returns the hash of the settings by which the member handles a stream, empty if that is not known.
func (p Peer) SettingsOf(stream string) string {
	if i := slices.Index(p.Streams, stream); i >= 0 && i < len(p.Settings) {
		return p.Settings[i]
	}
	return ""
}

// same reports whether nothing differs that a planner looks at.
func (p Peer) same(q Peer) bool {
	return p.ID == q.ID && p.Cap == q.Cap && p.Leaving == q.Leaving && p.Chg == q.Chg &&
		slices.Equal(p.Streams, q.Streams) && slices.Equal(p.Offers, q.Offers)
}
