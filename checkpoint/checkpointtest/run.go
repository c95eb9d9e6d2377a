// Package checkpointtest holds implementations of checkpoint.Store to the rules of that interface.
package checkpointtest
