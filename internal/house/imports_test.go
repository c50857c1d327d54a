package house

// The import directions of docs/architecture.md, and why each wall stands.

import (
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/weir-run/weir/"

type pkg struct {
	ImportPath string
	Dir        string
	Doc        string
	Imports    []string
	GoFiles    []string
}

// house lists, for every package, which of Weir's own it may import, which third-party modules,
// and why the wall is there.
var house = map[string]struct {
	own   []string
	third []string
	why   string
}{
	"cmd/weir":      {own: []string{"internal/cli", "internal/sandbox"}, why: "main only hands its arguments on"},
	"cmd/weir-init": {own: []string{"internal/sandbox/walls"}, why: "the first process of a sandbox must be small and hold nothing that isn't needed to raise walls"},

	"internal/weir": {why: "the nouns must not depend on how anything is done"},
	"internal/policy": {own: []string{"internal/weir"}, third: []string{"golang.org/x/net/idna"},
		why: "a decision is pure: no I/O, nothing that could make it depend on who asks; idna is tables and their rules"},
	"internal/policy/tomlpolicy": {own: []string{"internal/weir", "internal/policy"}, third: []string{"github.com/pelletier/go-toml/v2"},
		why: "a front end turns a file into a Policy and knows no other"},
	"internal/policy/intrinsic": {own: []string{"internal/weir", "internal/policy"}, third: []string{"github.com/dop251/goja"},
		why: "a front end turns a file into a Policy; the script it evaluates can reach nothing else"},
	"internal/policy/sitepolicy": {own: []string{"internal/weir", "internal/policy", "internal/policy/tomlpolicy", "internal/policy/intrinsic", "internal/site"},
		why: "the policies of a site are found in one place for all, without building or running it"},
	"internal/policy/ask": {own: []string{"internal/weir", "internal/policy"},
		why: "a question is answered by the policy alone, as the egress would"},
	"internal/policy/lint": {own: []string{"internal/weir", "internal/policy", "internal/policy/ask", "internal/record"}, third: []string{"golang.org/x/net"},
		why: "advice is a function of policies and records: it asks neither the network nor the disk"},
	"internal/policy/diff": {own: []string{"internal/weir", "internal/policy"},
		why: "what changed is a function of two policies, wherever they come from"},
	"internal/policy/expect": {own: []string{"internal/weir", "internal/policy", "internal/policy/ask", "internal/policy/tomlpolicy"},
		why: "expectations are held against policies, wherever these come from"},
	"internal/policy/snapshot": {own: []string{"internal/weir", "internal/policy", "internal/policy/sitepolicy", "internal/build"},
		why: "it finds policies and must not judge them"},
	"internal/policy/learn": {own: []string{"internal/weir", "internal/policy", "internal/record"},
		why: "learning is a function of records: it reads no files and no site, and enforces nothing"},
	"internal/site": {own: []string{"internal/weir", "internal/routing", "internal/cron"}, third: []string{"github.com/pelletier/go-toml/v2", "golang.org/x/net"},
		why: "reading a site must not build or run it; of x/net it needs the list of public suffixes"},
	"internal/held":  {why: "a file is held by its path alone"},
	"internal/cron":  {why: "when a schedule comes is told by its text and a time alone"},
	"internal/route": {why: "a path is matched by its text alone"},
	"internal/build/insource": {own: []string{"internal/weir", "internal/route", "internal/cron"},
		third: []string{"github.com/evanw/esbuild", "github.com/dop251/goja/ast", "github.com/dop251/goja/file", "github.com/dop251/goja/parser", "github.com/dop251/goja/token", "github.com/go-sourcemap/sourcemap"},
		why:   "a source is read and never run: of goja it has the parser alone"},
	"internal/build": {own: []string{"internal/weir", "internal/site", "internal/policy", "internal/policy/sitepolicy", "internal/build/insource", "internal/cron", "internal/route"},
		third: []string{"github.com/evanw/esbuild", "golang.org/x/sys"}, why: "a build must not depend on how its result is run; of x/sys it needs Landlock"},
	"internal/sandbox/walls": {third: []string{"golang.org/x/sys", "golang.org/x/net", "github.com/vishvananda/netlink", "github.com/google/nftables"},
		why: "it runs as the first process of every sandbox, before the walls stand: small and without the rest of Weir"},
	"internal/sandbox": {own: []string{"internal/weir", "internal/sandbox/walls"}, third: []string{"golang.org/x/sys"},
		why: "a sandbox confines any program: it must not know Node, HTTP or policies"},
	"internal/sandbox/zygote": {why: "it holds code that runs inside of sandboxes: nothing may run when it is imported"},
	"internal/record":         {own: []string{"internal/weir", "internal/held"}, why: "records must not know who decides or why"},
	"internal/violation":      {own: []string{"internal/record"}, why: "it words what others decided: it must have no way to decide anything"},
	"internal/egress": {own: []string{"internal/weir", "internal/policy", "internal/record"}, third: []string{"golang.org/x/net", "golang.org/x/sys"},
		why: "the way out asks the policy and nobody else; it must not know what runs inside"},
	"internal/runtime": {own: []string{"internal/weir"}, third: []string{"golang.org/x/sys"},
		why: "the shim runs beside hostile code: whatever its Go half could reach, a forged frame might"},
	"internal/instance": {own: []string{"internal/weir", "internal/policy", "internal/sandbox", "internal/sandbox/zygote", "internal/runtime", "internal/egress", "internal/record"},
		third: []string{"golang.org/x/sys"}, why: "it runs functions and must not know who calls them: no HTTP, no site, no artifact"},
	"internal/invoke": {own: []string{"internal/weir", "internal/record"}, third: []string{"github.com/oklog/ulid"},
		why: "it dispatches to backends by an interface of its own, so that tests and other backends need no sandbox"},
	"internal/gateway": {own: []string{"internal/weir", "internal/cron", "internal/route", "internal/routing"}, third: []string{"github.com/golang-jwt/jwt", "github.com/oklog/ulid", "golang.org/x/net", "github.com/andybalholm/brotli"},
		why: "public HTTP reaches functions only through its Invoker: no way round invoke and its records"},
	"internal/store":           {own: []string{"internal/weir"}, why: "a contract knows no implementation"},
	"internal/store/storetest": {own: []string{"internal/weir", "internal/store"}, why: "one suite for every implementation"},
	"internal/store/natsstore": {own: []string{"internal/weir", "internal/store", "internal/held"}, third: []string{"github.com/nats-io/nats-server", "github.com/nats-io/nats.go", "github.com/nats-io/nuid"},
		why: "NATS is known here and nowhere else"},
	"internal/store/cache": {own: []string{"internal/weir", "internal/store"}, why: "copies are made from any store"},
	"internal/routing": {own: []string{"internal/weir"}, third: []string{"github.com/pelletier/go-toml/v2"},
		why: "what a rule makes of a request is a function of both"},
	"internal/deploys": {own: []string{"internal/weir", "internal/store", "internal/policy", "internal/policy/diff", "internal/record"},
		why: "the life of a deploy must not depend on how functions are read and run"},
	"internal/access": {own: []string{"internal/weir", "internal/store", "internal/record"}, third: []string{"github.com/oklog/ulid"},
		why: "who may do what is decided without knowing what is asked for"},
	"internal/environ": {own: []string{"internal/weir", "internal/store", "internal/policy", "internal/record"}, third: []string{"filippo.io/age"},
		why: "secrets are opened in one place; of policies it knows which names they refuse, and its changes go to the journal"},
	"internal/jobs": {own: []string{"internal/weir", "internal/cron", "internal/store"}, third: []string{"github.com/oklog/ulid"},
		why: "it runs functions through an interface of its own"},
	"internal/logs":     {own: []string{"internal/weir", "internal/store", "internal/record"}, third: []string{"github.com/oklog/ulid"}, why: "it keeps lines, wherever they come from"},
	"internal/api/wire": {why: "shapes only: what they stand for is known on either side"},
	"internal/api": {own: []string{"internal/weir", "internal/api/wire", "internal/store", "internal/deploys", "internal/access", "internal/environ", "internal/jobs", "internal/logs", "internal/record", "internal/policy", "internal/policy/diff"}, third: []string{"github.com/oklog/ulid"},
		why: "it runs nothing and reads no site: it has neither instance nor build"},
	"internal/api/client": {own: []string{"internal/weir", "internal/api/wire", "internal/record"}, why: "a client knows the wire, not the server"},
	"internal/server": {own: []string{"internal/weir", "internal/cron", "internal/store", "internal/store/natsstore", "internal/store/cache", "internal/routing", "internal/deploys", "internal/access", "internal/environ", "internal/jobs", "internal/logs", "internal/api", "internal/policy", "internal/policy/sitepolicy", "internal/policy/tomlpolicy", "internal/site", "internal/build",
		"internal/sandbox", "internal/runtime", "internal/egress", "internal/instance", "internal/invoke", "internal/gateway", "internal/record", "internal/violation"},
		third: []string{"github.com/fsnotify/fsnotify"}, why: "the only place where the parts are joined"},
	"internal/demo": {own: []string{"internal/weir", "internal/server", "internal/egress", "internal/instance", "internal/record"},
		third: []string{"golang.org/x/net"}, why: "the demo uses Weir as everybody else does: through the server"},
	"internal/cli": {own: []string{"internal/weir", "internal/server", "internal/demo", "internal/egress", "internal/gateway", "internal/instance",
		"internal/record", "internal/runtime", "internal/sandbox", "internal/policy", "internal/policy/ask", "internal/policy/diff", "internal/policy/expect", "internal/policy/learn", "internal/policy/lint", "internal/policy/sitepolicy",
		"internal/policy/snapshot", "internal/policy/tomlpolicy", "internal/site", "internal/build", "internal/api/client", "internal/api/wire", "internal/store/natsstore"}, third: []string{"github.com/spf13/cobra", "github.com/oklog/ulid"},
		why: "a command asks and prints; what it asks for is done elsewhere"},
	"internal/house": {why: "it holds only tests"},
}

func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Dir,Doc,Imports,GoFiles", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if len(p.GoFiles) > 0 {
			all = append(all, p)
		}
	}
}

func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		if strings.HasPrefix(name, "bench") || strings.HasPrefix(name, "test") {
			continue // measure and try the whole from outside
		}
		rule, ok := house[name]
		if !ok {
			t.Errorf("%s stands nowhere in the house: add it to docs/architecture.md and to this test, with the reason", name)
			continue
		}
		for _, imp := range p.Imports {
			switch {
			case strings.HasPrefix(imp, module):
				if own := strings.TrimPrefix(imp, module); !slices.Contains(rule.own, own) {
					t.Errorf("%s imports %s, but must not: %s", name, own, rule.why)
				}
			case strings.Contains(strings.SplitN(imp, "/", 2)[0], "."):
				if !slices.ContainsFunc(rule.third, func(m string) bool { return imp == m || strings.HasPrefix(imp, m+"/") }) {
					t.Errorf("%s imports %s, which is none of its tools: %s", name, imp, rule.why)
				}
			}
		}
	}
}

// TestBanned keeps out what must never be linked into the binary.
func TestBanned(t *testing.T) {
	banned := map[string]string{
		"plugin":         "code loaded at run time is code nobody reviewed",
		"net/http/pprof": "it registers itself on the default mux, which a later server might expose",
		"expvar":         "it registers itself on the default mux, which a later server might expose",
		"C":              "the binary is built without cgo: one static file, no loader to trust",
	}
	for _, p := range packages(t) {
		for _, imp := range p.Imports {
			if why, ok := banned[imp]; ok {
				t.Errorf("%s imports %s: %s", p.ImportPath, imp, why)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for _, p := range packages(t) {
		if p.Doc == "" {
			t.Errorf("%s has no package comment: say what it is for and what it must not know", p.ImportPath)
		}
	}
}
