package weir

// How a function's instances run is said by its policy and obeyed by the pool; this is what both speak of.

// Isolation says how much one invocation may find of another.
type Isolation string

// The isolations.
const (
	PerInstance Isolation = "instance" // an instance serves one invocation after another
	PerRequest  Isolation = "request"  // every invocation runs in a process that has seen no other
)

// Running says how the instances of one function run. The zero value is what AWS Lambda does: the
// server's Node.js, one invocation at a time in an instance, none kept while nobody calls.
type Running struct {
	Node        int       // major version of Node.js; 0: the server's own
	Isolation   Isolation // "": PerInstance
	Concurrency int       // invocations at a time in one instance; 0: 1
	KeepWarm    int       // instances that are kept ready while nobody calls
}
