package main

// The peers: how each serves a function, and how it gives one answer in a process of its own.

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/evanw/esbuild/pkg/api"

	"github.com/weir-run/weir/bench/load"
)

// contender is Weir in a configuration, or a peer.
type contender struct {
	name string
	// serve starts a server for the function in the site. It may not answer yet.
	serve func(b *bench, site, function string) (*server, error)
	// once is a process that prints the body of one answer, nil if the contender has no such thing.
	once func(b *bench, site, function string) *exec.Cmd
	// lazy servers start no process or thread for a function before it is called, and serve many.
	lazy bool
	note string // what is to be known when its figures are read
}

// bare is whom all others are compared with.
const bare = "node:http"

var peers = []contender{
	{name: bare, serve: script("http.cjs", nodeRuns), once: once(nodeRuns)},
	{name: "fastify", serve: script("fastify.cjs", nodeRuns)},
	{name: "node:http in bubblewrap", serve: script("http.cjs", bwrapRuns), once: once(bwrapRuns)},
	{name: "deno", serve: script("deno.mjs", denoRuns), once: once(denoRuns)},
	{name: "workerd", serve: workerd},
	{name: "netlify functions:serve", serve: netlify, lazy: true, note: "all functions in one process: packages are loaded once"},
	{name: "serverless-offline", serve: serverlessOffline, lazy: true},
	{name: "lambda-local", serve: lambdaLocal, once: lambdaLocalOnce},
}

// ours gives configurations of Weir as contenders.
func ours(configs ...config) []contender {
	var out []contender
	for _, c := range configs {
		out = append(out, contender{name: c.name, lazy: true, serve: func(b *bench, site, function string) (*server, error) {
			return b.weir(c, site, function, "--records", recordsOf(site))
		}})
	}
	return out
}

func isOurs(name string) bool { return strings.HasPrefix(name, "weir") }

// runs makes the command that runs one of this program's own scripts.
type runs func(b *bench, script string) *exec.Cmd

func nodeRuns(b *bench, script string) *exec.Cmd { return exec.Command(b.node, script) }

func bwrapRuns(b *bench, script string) *exec.Cmd {
	return exec.Command(b.bwrap, "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp",
		"--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup", "--die-with-parent", b.node, script)
}

func denoRuns(b *bench, script string) *exec.Cmd {
	return exec.Command(b.peer("@deno/linux-x64-glibc/deno"), "run", "--allow-all", "--no-remote", "--quiet", script)
}

func functionFile(site, function string) string {
	return filepath.Join(site, "functions", function+".js")
}

// prepare tells a process where the function and the peers' packages are, and keeps it off the user's own settings.
func (b *bench) prepare(cmd *exec.Cmd, site, function string, port int) *exec.Cmd {
	cmd.Dir = site
	cmd.Env = append(os.Environ(), "HANDLER="+functionFile(site, function), "PEERS="+b.peer("x"), fmt.Sprint("PORT=", port),
		"HOME="+b.dir, "CI=1", "NO_COLOR=1", "SLS_TELEMETRY_DISABLED=1", "SLS_NOTIFICATIONS_MODE=off", "DENO_NO_UPDATE_CHECK=1",
		"PATH="+filepath.Dir(b.node)+":"+os.Getenv("PATH"))
	return cmd
}

func script(name string, run runs) func(*bench, string, string) (*server, error) {
	return func(b *bench, site, function string) (*server, error) {
		port := freePort()
		cmd := b.prepare(run(b, filepath.Join(b.scripts, name)), site, function, port)
		return b.launch(cmd, load.Target{URL: fmt.Sprintf("http://127.0.0.1:%d/", port), Want: "hello"})
	}
}

func once(run runs) func(*bench, string, string) *exec.Cmd {
	return func(b *bench, site, function string) *exec.Cmd {
		return b.prepare(run(b, filepath.Join(b.scripts, "once.cjs")), site, function, 0)
	}
}

func workerd(b *bench, site, function string) (*server, error) {
	dir, err := os.MkdirTemp(b.dir, "workerd-")
	if err != nil {
		return nil, err
	}
	bundled := api.Build(api.BuildOptions{
		EntryPoints: []string{filepath.Join(b.scripts, "worker.mjs")}, Outfile: filepath.Join(dir, "worker.mjs"),
		Bundle: true, Write: true, Format: api.FormatESModule, Platform: api.PlatformBrowser, LogLevel: api.LogLevelSilent,
		Conditions: []string{"workerd", "worker"}, External: []string{"node:*"},
		Alias: map[string]string{"handler": functionFile(site, function)},
	})
	if len(bundled.Errors) > 0 {
		return nil, errors.New("not bundled: " + bundled.Errors[0].Text)
	}
	settings, err := own.ReadFile("peers/workerd.capnp")
	check(err)
	if err := os.WriteFile(filepath.Join(dir, "workerd.capnp"), settings, 0o644); err != nil {
		return nil, err
	}
	port := freePort()
	cmd := b.prepare(exec.Command(b.peer("@cloudflare/workerd-linux-64/bin/workerd"), "serve", filepath.Join(dir, "workerd.capnp"),
		fmt.Sprintf("--socket-addr=http=127.0.0.1:%d", port)), site, function, port)
	return b.launch(cmd, load.Target{URL: fmt.Sprintf("http://127.0.0.1:%d/", port), Want: "hello"})
}

func netlify(b *bench, site, function string) (*server, error) {
	port := freePort()
	cmd := b.prepare(exec.Command(b.node, b.peer("netlify-cli/bin/run.js"), "functions:serve", "--offline", "--functions", "functions",
		"--port", fmt.Sprint(port)), site, function, port)
	return b.launch(cmd, load.Target{URL: fmt.Sprintf("http://127.0.0.1:%d/.netlify/functions/%s", port, function), Want: "hello"})
}

func serverlessOffline(b *bench, site, function string) (*server, error) {
	plugin, err := filepath.Rel(site, b.peer("serverless-offline"))
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(site, "functions", "*.js"))
	if err != nil {
		return nil, err
	}
	port := freePort()
	settings := fmt.Sprintf("service: bench\nframeworkVersion: '3'\nprovider: { name: aws, runtime: nodejs20.x }\nplugins: ['./%s']\n"+
		"custom:\n  serverless-offline: { host: 127.0.0.1, httpPort: %d, lambdaPort: %d, noPrependStageInUrl: true, noTimeout: true }\nfunctions:\n",
		plugin, port, freePort())
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".js")
		settings += fmt.Sprintf("  %s: { handler: functions/%s.handler, events: [{ http: { path: /%s, method: get } }] }\n", name, name, name)
	}
	if err := os.WriteFile(filepath.Join(site, "serverless.yml"), []byte(settings), 0o644); err != nil {
		return nil, err
	}
	cmd := b.prepare(exec.Command(b.node, b.peer("serverless/bin/serverless.js"), "offline"), site, function, port)
	return b.launch(cmd, load.Target{URL: fmt.Sprintf("http://127.0.0.1:%d/%s", port, function), Want: "hello"})
}

func lambdaLocal(b *bench, site, function string) (*server, error) {
	port := freePort()
	cmd := b.prepare(exec.Command(b.node, b.peer("lambda-local/build/cli.js"), "--lambda-path", functionFile(site, function),
		"--timeout", "30", "--verboselevel", "0", "--watch", fmt.Sprint(port)), site, function, port)
	return b.launch(cmd, load.Target{URL: fmt.Sprintf("http://127.0.0.1:%d/", port), Method: http.MethodGet, Want: "hello"})
}

func lambdaLocalOnce(b *bench, site, function string) *exec.Cmd {
	event := filepath.Join(site, "event.json")
	check(os.WriteFile(event, []byte(`{"httpMethod":"GET","path":"/","headers":{},"queryStringParameters":{}}`), 0o644))
	return b.prepare(exec.Command(b.node, b.peer("lambda-local/build/cli.js"), "--lambda-path", functionFile(site, function),
		"--event-path", event, "--verboselevel", "1"), site, function, 0)
}
