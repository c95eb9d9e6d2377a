package filter

import "fmt"

// An Error says what is wrong with a pattern.
type Error struct {
	Pattern int    // counted from 0
	Path    string // to the place in the pattern, as "data.amount[0].numeric"; empty for the pattern itself
	Reason  string
}

// Error begins as Lambda's message does. Patterns are counted from 1 in it.
func (e *Error) Error() string {
	at := ""
	if e.Path != "" {
		at = " at " + e.Path
	}
	return fmt.Sprintf("Invalid filter pattern definition. Pattern %d%s: %s", e.Pattern+1, at, e.Reason)
}
