// Package learn makes policies from what functions were seen to do: records in, a weir.toml out that
// a person would have written, with the evidence beside each rule. What a hijacked run could have
// left in the records is written as a comment with the reason, never as a rule. It also says which
// grants of an existing policy nobody used, and what a candidate would change for recorded calls.
//
// It reads no files and enforces nothing. Records may be hostile: whatever they hold, memory is
// bounded, and what finds no room is counted and told.
package learn
