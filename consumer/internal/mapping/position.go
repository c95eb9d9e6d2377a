package mapping

import (
	"fmt"
	"slices"
	"time"
)

// modifiedMargin is what reading starts before the time at which a mapping was disabled: Lambda may have stopped reading
// before it wrote that time, and to repeat is better than to skip.
const modifiedMargin = time.Minute

// position reads where reading starts.
func (s *Settings) position(f *fields, bad complaint) {
	// What only an existing mapping has. Any of them will do: people shorten what tools print.
	if slices.ContainsFunc([]string{
		"UUID", "State", "LastModified", "FunctionArn", "EventSourceMappingArn", "LastProcessingResult", "StateTransitionReason",
	}, f.has) {
		s.resume(f, bad)
		return
	}
	s.begin(f, bad)
}

// resume starts where Lambda stopped. Where the mapping began, long ago, is of no use: LATEST would skip what came since,
// and TRIM_HORIZON repeat the retention. A disabled mapping was modified when it stopped; one that is Disabling has not
// stopped yet.
func (s *Settings) resume(f *fields, bad complaint) {
	began, _ := f.take("StartingPosition")
	f.take("StartingPositionTimestamp")
	state, _ := f.take("State")
	if word, err := textOf(state); err != nil || word != "Disabled" {
		s.NeedsStart = true
		return
	}
	modified, ok := value(f, "LastModified", timeOf, bad)
	if !ok {
		if f.lacks("LastModified") {
			bad("LastModified: want the time at which the mapping was disabled")
		}
		return
	}
	start := modified.Add(-modifiedMargin)
	s.Start = Start{"AT_TIMESTAMP", start}
	was, err := textOf(began)
	if err != nil {
		was = "it"
	}
	s.Warnings = append(s.Warnings, fmt.Sprintf("StartingPosition: %s is where the mapping began: unless WithStartingPosition is given, reading "+
		"starts at %s, a minute before LastModified, and what Lambda had not handled by then is skipped",
		was, start.UTC().Format(time.RFC3339)))
}

// begin starts where a new mapping would.
func (s *Settings) begin(f *fields, bad complaint) {
	position, ok := value(f, "StartingPosition", textOf, bad)
	raw, timed := f.take("StartingPositionTimestamp")
	switch {
	case !ok && !timed:
		s.NeedsStart = f.lacks("StartingPosition")
	case !ok:
		if f.lacks("StartingPosition") {
			bad("StartingPositionTimestamp: %s without StartingPosition: want AT_TIMESTAMP there", short(raw))
		}
	case position == "AT_TIMESTAMP" && !timed:
		bad("StartingPosition: AT_TIMESTAMP: want StartingPositionTimestamp, too")
	case position == "AT_TIMESTAMP":
		t, err := timeOf(raw)
		if err != nil {
			bad("StartingPositionTimestamp: %w", err)
			return
		}
		s.Start = Start{position, t}
	case position != "TRIM_HORIZON" && position != "LATEST":
		bad("StartingPosition: %q: want TRIM_HORIZON, LATEST or AT_TIMESTAMP", position)
	case timed:
		bad("StartingPositionTimestamp: %s with StartingPosition %s: want it with AT_TIMESTAMP only", short(raw), position)
	default:
		s.Start.Position = position
	}
}
