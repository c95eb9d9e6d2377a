// Package partition keeps order within a key while keys run in parallel.
//
// Lanes is the long-running form: items go in with Submit, every item of one key takes the same lane, and a lane runs
// one call at a time. Each is the form for one slice: a parallel loop that is sequential within a key. Watermark tells,
// from completions that come in any order, the position below which everything is done. Hash is the function that
// assigns keys to lanes.
//
// The parts do not depend on each other nor on Kinesis, and import the standard library only.
package partition
