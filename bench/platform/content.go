package main

// What is deployed, and what the same bytes cost without Weir.

import (
	"archive/zip"
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/weir-run/weir/test/platform/served"
)

const (
	manyFunctions = 100
	manyFiles     = 2000
)

// noise is a source of bytes that can't be compressed, without holding them.
func noise(seed uint64, size int64) served.Source {
	return func() (io.ReadCloser, error) {
		var key [32]byte
		binary.LittleEndian.PutUint64(key[:], seed)
		return io.NopCloser(io.LimitReader(rand.NewChaCha8(key), size)), nil
	}
}

// source is a function that answers something.
func source(answer string) string {
	return fmt.Sprintf("exports.handler = async () => ({ statusCode: 200, body: %q })\n", answer)
}

// function is the archive of one.
func function(name, answer string) served.Source { return served.Archive(name, source(answer)) }

// site is a site of many functions and files, some 20 MB.
func site() served.Content {
	c := served.Content{Files: map[string]served.Source{"index.html": served.Bytes([]byte("version 0"))}, Functions: map[string]served.Source{}}
	for i := range manyFiles - 1 {
		c.Files[fmt.Sprintf("d%02d/p%04d.html", i%50, i)] = noise(uint64(i), int64(200+i*10))
	}
	for i := range manyFunctions {
		name := fmt.Sprintf("f%03d", i)
		c.Functions[name] = function(name, name)
	}
	return c
}

// folder writes a site as its author has it.
func folder(dir string, c served.Content) error {
	for name, from := range c.Files {
		if err := copyTo(filepath.Join(dir, "public", name), from); err != nil {
			return err
		}
	}
	for name := range c.Functions {
		if err := copyTo(filepath.Join(dir, "netlify/functions", name+".js"), served.Bytes([]byte(source("answer 0")))); err != nil {
			return err
		}
	}
	return copyTo(filepath.Join(dir, "netlify.toml"), served.Bytes([]byte("[build]\npublish = \"public\"\n[functions]\ndirectory = \"netlify/functions\"\n")))
}

func copyTo(file string, from served.Source) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	r, err := from()
	if err != nil {
		return err
	}
	defer r.Close()
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(f, r)
	return err
}

// all gives every source of a content.
func all(c served.Content) (out []served.Source) {
	for _, some := range []map[string]served.Source{c.Files, c.Functions} {
		for _, s := range some {
			out = append(out, s)
		}
	}
	return out
}

// written is how long it takes to write a content to files, without waiting for the disk.
func (b *bench) written(c served.Content) (time.Duration, error) {
	dir, err := os.MkdirTemp(b.dir, "bare-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	start := time.Now()
	for i, from := range all(c) {
		if err := copyTo(filepath.Join(dir, fmt.Sprint(i)), from); err != nil {
			return 0, err
		}
	}
	return time.Since(start), nil
}

// sent is how long it takes to hash a content and send it to a server that throws it away, five files at a time.
func sent(c served.Content) (time.Duration, error) {
	sink := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	defer sink.Close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 5}}
	start := time.Now()
	todo := make(chan served.Source)
	failed := make(chan error, 5)
	var workers sync.WaitGroup
	for range 5 {
		workers.Go(func() {
			for from := range todo {
				if err := send(client, sink.URL, from); err != nil {
					select {
					case failed <- err:
					default:
					}
				}
			}
		})
	}
	for _, from := range all(c) {
		todo <- from
	}
	close(todo)
	workers.Wait()
	select {
	case err := <-failed:
		return 0, err
	default:
		return time.Since(start), nil
	}
}

func send(client *http.Client, url string, from served.Source) error {
	r, err := from()
	if err != nil {
		return err
	}
	if _, err := io.Copy(sha1.New(), r); err != nil {
		return err
	}
	if r, err = from(); err != nil {
		return err
	}
	req, err := http.NewRequest("PUT", url, r)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	return res.Body.Close()
}

// heavy is the archive of a function that brings so many bytes along.
func heavy(name string, seed uint64, size int64) (served.Source, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create(name + ".js")
	if err == nil {
		_, err = io.WriteString(w, source(name))
	}
	if err != nil {
		return nil, err
	}
	if w, err = z.CreateHeader(&zip.FileHeader{Name: "data.bin", Method: zip.Store}); err != nil {
		return nil, err
	}
	r, err := noise(seed, size)()
	if err == nil {
		_, err = io.Copy(w, r)
	}
	if err != nil || z.Close() != nil {
		return nil, err
	}
	return served.Bytes(b.Bytes()), nil
}
