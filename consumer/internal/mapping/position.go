package mapping

import (
	"encoding/json"
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
	f.take("StartingPosition")
	f.take("StartingPositionTimestamp")
	state, _ := f.take("State")
	if word, err := textOf(state); err != nil || word != "Disabled" {
		s.NeedsStart = "where the mapping began long ago says nothing about now: give WithStartingPosition, or the JSON of the disabled mapping"
		return
	}
	modified, ok := value(f, "LastModified", timeOf, bad)
	result, _ := f.take("LastProcessingResult")
	switch {
	case f.lacks("LastModified"):
		s.NeedsStart = "LastModified, the time at which the mapping was disabled, is absent: give WithStartingPosition"
	case ok && !fine(result):
		s.NeedsStart = fmt.Sprintf("LastProcessingResult: %s: when the mapping was disabled, Lambda had older records still to handle than those from "+
			"LastModified on: give WithStartingPosition", short(result))
	case ok:
		s.Start = Start{"AT_TIMESTAMP", modified.Add(-modifiedMargin), true}
	}
}

// fine is true for what Lambda says of a mapping that gets on, and for nothing. Else it says PROBLEM, and which.
func fine(result json.RawMessage) bool {
	switch word, err := textOf(result); word {
	case "OK", "No records processed":
		return true
	case "":
		return result == nil || err == nil
	}
	return false
}

// begin starts where a new mapping would.
func (s *Settings) begin(f *fields, bad complaint) {
	position, ok := value(f, "StartingPosition", textOf, bad)
	raw, timed := f.take("StartingPositionTimestamp")
	switch {
	case !ok && !timed:
		if f.lacks("StartingPosition") {
			s.NeedsStart = "StartingPosition: it is absent: give WithStartingPosition"
		}
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
		s.Start = Start{Position: position, At: t}
	case position != "TRIM_HORIZON" && position != "LATEST":
		bad("StartingPosition: %q: want TRIM_HORIZON, LATEST or AT_TIMESTAMP", position)
	case timed:
		bad("StartingPositionTimestamp: %s with StartingPosition %s: want it with AT_TIMESTAMP only", short(raw), position)
	default:
		s.Start.Position = position
	}
}
