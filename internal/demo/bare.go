package demo

// The first half: the function on Node as it is, on a machine that holds what machines hold.

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

//go:embed bare.cjs
var bareHost []byte

// bareTime bounds the first half.
const bareTime = 30 * time.Second

// variables are the site's: Netlify gives all of them to every function.
var variables = []string{
	"STRIPE_API_KEY=" + stripeKey,
	"DATABASE_URL=" + databaseURL,
	"SESSION_SECRET=" + sessionSecret,
}

// event is what both halves are called with.
func event() json.RawMessage {
	body, err := json.Marshal(map[string]any{"card": map[string]string{"number": cardNumber, "expires": "12/34"}})
	if err != nil {
		panic(err) // it is constant
	}
	e, err := json.Marshal(map[string]any{
		"httpMethod": "POST", "path": "/.netlify/functions/charge", "body": string(body), "isBase64Encoded": false,
		"headers": map[string]string{"content-type": "application/json"}, "queryStringParameters": map[string]string{},
	})
	if err != nil {
		panic(err)
	}
	return e
}

// runBare tells the first half. An error means that Node could not be run.
func runBare(ctx context.Context, node, site string) (*Half, error) {
	n, dir, leave, err := stage()
	if err != nil {
		return nil, err
	}
	defer leave()
	answer, err := os.Create(filepath.Join(dir, "answer"))
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	input, err := json.Marshal(map[string]any{"file": filepath.Join(site, "functions", "charge.js"),
		"event": event(), "routes": n.routes, "resolver": n.resolver})
	if err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, bareTime)
	defer cancel()
	cmd := exec.CommandContext(bounded, node, filepath.Join(dir, "bare.cjs"))
	cmd.Dir = site
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "NODE_EXTRA_CA_CERTS=" + filepath.Join(dir, "ca.pem")}, variables...)
	cmd.Stdin = bytes.NewReader(input)
	cmd.ExtraFiles = []*os.File{answer}
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return nil, fmt.Errorf("running %s: %w", node, err)
	}
	n.close() // what is on its way arrives first
	raw, failure := readAnswer(answer.Name())
	return n.half(raw, failure, strings.Split(strings.TrimSpace(string(out)), "\n"), nil), nil
}

// stage is what a half plays on: an internet and a home folder, which leave ends.
func stage() (n *internet, dir string, leave func(), err error) {
	if n, err = openInternet(); err != nil {
		return nil, "", nil, err
	}
	leave = func() { n.close(); os.RemoveAll(dir) }
	if dir, err = os.MkdirTemp("", "weir-demo-"); err == nil {
		err = furnish(dir, n.ca)
	}
	if err != nil {
		leave()
		return nil, "", nil, err
	}
	return n, dir, leave, nil
}

// furnish puts into dir, the function's home, what a developer's or a server's home holds.
func furnish(dir string, ca []byte) error {
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "bare.cjs"), bareHost, 0o600),
		os.WriteFile(filepath.Join(dir, "ca.pem"), ca, 0o600),
		os.WriteFile(filepath.Join(dir, ".npmrc"), []byte("//registry.npm.example/:_authToken="+npmToken+"\n"), 0o600))
}

// readAnswer gives what the handler returned, or how it failed.
func readAnswer(file string) (raw []byte, failure string) {
	var a struct {
		Result json.RawMessage
		Error  string
	}
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, &a)
	}
	if err != nil {
		return nil, "Node ended without an answer"
	}
	return a.Result, a.Error
}
