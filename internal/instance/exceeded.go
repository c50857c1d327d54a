package instance

// What the kernel and Node say when a limit is reached names an errno and no limit. An error that a
// function throws for that reason names it, so that whoever reads it knows what to raise.

import (
	"fmt"
	"regexp"
	"strconv"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/weir"
)

// exceeded are the words by which a limit that was reached is known: errno's names as Node puts them in
// front (errors.md of Node.js, "Common system errors"), V8's of an allocation that failed.
var exceeded = []struct {
	words *regexp.Regexp // of the message
	limit string
	value func(weir.Limits) string
}{
	{regexp.MustCompile(`^(ENOSPC|EFBIG|EDQUOT): `), "tmp", func(l weir.Limits) string { return strconv.Quote(policy.Size(l.Tmp)) }},
	{regexp.MustCompile(`^EMFILE: |\bEMFILE$`), "files", func(l weir.Limits) string { return strconv.Itoa(l.Files) }},
	{regexp.MustCompile(`^spawn\S* .*EAGAIN$|^(Worker initialization failure: )?EAGAIN$`), "processes", func(l weir.Limits) string { return strconv.Itoa(l.Processes) }},
	{regexp.MustCompile(`^Array buffer allocation failed$|^Failed to allocate memory$|^ENOMEM: |\bENOMEM$|^Worker terminated due to reaching memory limit`),
		"memory", func(l weir.Limits) string { return strconv.Quote(policy.Size(l.Memory)) }},
}

// nameLimit adds to an error that the function threw which limit it has likely reached.
func nameLimit(e *weir.FunctionError, l weir.Limits) {
	for _, x := range exceeded {
		if x.words.MatchString(e.Message) {
			e.Message += fmt.Sprintf(" (limits.%s = %s)", x.limit, x.value(l))
			return
		}
	}
}
